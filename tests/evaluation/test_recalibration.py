"""Calibration slope and intercept against scikit-learn, a root finder, and known distortions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit

from senoscope.evaluation.recalibration import calibration_intercept, calibration_slope

linear = pytest.importorskip("sklearn.linear_model")


def cases(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(-0.5, 1.5, count)
    return rng.random(count) < expit(truth), np.asarray(expit(0.4 + 1.7 * truth))


def everyone(count: int) -> np.ndarray:
    return np.ones(count, bool)


@pytest.mark.parametrize("seed", range(4))
def test_slope_equals_scikit_learn(seed: int) -> None:
    positive, probability = cases(seed)
    x = logit(probability)[:, None]
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, 300)).astype(float)
    ours = calibration_slope(positive, probability, everyone(300))
    fits = [
        linear.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
        .fit(x, positive, sample_weight=w)
        .coef_[0, 0]
        for w in (np.ones(300), *weights)
    ]
    assert ours.value == pytest.approx(fits[0], rel=1e-4)
    assert ours.of(weights) == pytest.approx(fits[1:], rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_intercept_solves_the_score_equation(seed: int) -> None:
    positive, probability = cases(seed)
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, 300)).astype(float)
    ours = calibration_intercept(positive, probability, everyone(300))

    def root(w: np.ndarray) -> float:
        return float(
            brentq(lambda a: (w * (positive - expit(a + logit(probability)))).sum(), -20, 20, xtol=1e-12)
        )

    assert ours.value == pytest.approx(root(np.ones(300)))
    assert ours.of(weights) == pytest.approx([root(w) for w in weights])


def test_known_distortions() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=200_000)
    positive, rows = rng.random(200_000) < expit(truth), everyone(200_000)
    assert calibration_slope(positive, expit(truth), rows).value == pytest.approx(1, abs=0.02)
    assert calibration_slope(positive, expit(2 * truth), rows).value == pytest.approx(0.5, abs=0.01)
    assert calibration_intercept(positive, expit(truth), rows).value == pytest.approx(0, abs=0.02)
    assert calibration_intercept(positive, expit(truth - 1), rows).value == pytest.approx(1, abs=0.02)


def test_undefined() -> None:
    apart = np.array([0, 0, 1, 1], bool)
    assert np.isnan(calibration_slope(apart, np.array([0.1, 0.2, 0.8, 0.9]), everyone(4)).value)
    for function in (calibration_slope, calibration_intercept):
        assert np.isnan(function(everyone(3), np.array([0.1, 0.5, 0.8]), everyone(3)).value)
    one_class = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    mixed = np.array([0, 1, 0, 1], bool)[[0, 2, 1, 3]]
    values = calibration_slope(mixed, np.array([0.6, 0.2, 0.4, 0.7]), everyone(4)).of(one_class)
    assert np.isnan(values[0])
    assert np.isfinite(values[1])


def test_certain_predictions_do_not_break_it() -> None:
    positive, probability = cases(0)
    probability[:5] = [0, 1, 1, 0, 1]
    assert np.isfinite(calibration_slope(positive, probability, everyone(300)).value)
    assert np.isfinite(calibration_intercept(positive, probability, everyone(300)).value)

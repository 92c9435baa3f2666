"""Temperature, calibration error and reliability: recovered, by hand, against references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from senoscope.evaluation.calibration import (
    calibrate,
    calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)

LABELS = np.array([0, 1, 1, 2])
PROBABILITIES = np.array([[0.95, 0.03, 0.02], [0.1, 0.62, 0.28], [0.64, 0.26, 0.1], [0.2, 0.2, 0.6]])
ALL = np.ones(4, bool)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_known_temperature_is_recovered(temperature: float) -> None:
    rng = np.random.default_rng(0)
    honest = 2 * rng.normal(size=(20000, 3))
    labels = (softmax(honest, axis=1).cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.03)


def test_temperature_keeps_the_chosen_class_and_is_monotone() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3))
    for temperature in (0.3, 4.0):
        assert (calibrate(logits, temperature).argmax(1) == logits.argmax(1)).all()
    per_case = calibrate(logits[:2], np.array([1.0, 2.0]))
    np.testing.assert_allclose(per_case[1], softmax(logits[1] / 2))


def test_unknown_labels_and_classes_are_left_out() -> None:
    logits = np.array([[-np.inf, 1.0, 0.0], [-np.inf, 0.0, 2.0], [-np.inf, 3.0, 0.0], [-np.inf, 9.0, 0.0]])
    labels = np.array([1, 2, 0, -1])  # a normal that the system cannot say, and one without a label
    assert fit_temperature(logits, labels) == pytest.approx(fit_temperature(logits[:2], labels[:2]))
    assert fit_temperature(logits[2:], labels[2:]) == 1.0


def test_log_likelihood_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    expected = metrics.log_loss(LABELS, PROBABILITIES)
    assert negative_log_likelihood(np.log(PROBABILITIES), LABELS) == pytest.approx(expected)


def test_calibration_error_by_hand() -> None:
    # Of fifteen bins: .95 right alone; .62 right and .64 wrong share (.6, .667]; .60 right in (.533, .6].
    expected = (0.05 + abs(0.62 + 0.64 - 1) + 0.4) / 4
    assert calibration_error(PROBABILITIES, LABELS, ALL).value == pytest.approx(expected)


def test_calibration_error_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([1, 1, 1], size=500)
    labels = rng.integers(0, 3, 500)
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0.0
    for low, high in zip(np.linspace(0, 1, 16)[:-1], np.linspace(0, 1, 16)[1:], strict=True):
        inside = (top > low) & (top <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    assert calibration_error(probabilities, labels, np.ones(500, bool)).value == pytest.approx(expected)


def test_equal_mass_bins_hold_equal_numbers() -> None:
    rng = np.random.default_rng(1)
    probabilities, labels = rng.dirichlet([1, 1, 1], size=300), rng.integers(0, 3, 300)
    order = np.argsort(probabilities.max(1))
    top, right = probabilities.max(1)[order], (probabilities.argmax(1) == labels)[order]
    expected = sum(abs(right[s : s + 100].mean() - top[s : s + 100].mean()) for s in (0, 100, 200)) / 3
    got = calibration_error(probabilities, labels, np.ones(300, bool), bins=3, equal_mass=True).value
    assert got == pytest.approx(expected, abs=0.004)  # a case on a border may fall to either side


def test_calibration_lowers_the_error_of_an_overconfident_system() -> None:
    rng = np.random.default_rng(0)
    honest = 2 * rng.normal(size=(4000, 3))
    labels = (softmax(honest, axis=1).cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    logits = 3 * honest
    after = calibrate(logits, fit_temperature(logits[:2000], labels[:2000]))[2000:]
    rows = np.ones(2000, bool)
    before = calibration_error(calibrate(logits[2000:], 1.0), labels[2000:], rows).value
    assert before > 0.1
    assert calibration_error(after, labels[2000:], rows).value < 0.04


def test_error_under_weights_is_error_of_repetition() -> None:
    weights = np.array([[2.0, 0.0, 1.0, 3.0]])
    repeats = weights[0].astype(int)
    expected = calibration_error(
        np.repeat(PROBABILITIES, repeats, axis=0), np.repeat(LABELS, repeats), np.ones(6, bool)
    ).value
    assert calibration_error(PROBABILITIES, LABELS, ALL).of(weights)[0] == pytest.approx(expected)


def test_reliability_by_hand() -> None:
    curve = reliability(PROBABILITIES, LABELS, bins=5)
    assert curve.cases.tolist() == [0, 0, 1, 2, 1]
    np.testing.assert_allclose(curve.confidence[2:], [0.6, 0.63, 0.95])
    np.testing.assert_allclose(curve.accuracy[2:], [1, 0.5, 1])
    assert np.isnan(curve.accuracy[0])

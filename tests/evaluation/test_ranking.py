"""AUC, average precision and ROC against scikit-learn, by hand, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest

from senoscope.evaluation.ranking import auc, average_precision, partial_auc, roc_curve

sk = pytest.importorskip("sklearn.metrics")


def cases(seed: int, count: int = 200, ties: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.4
    score = rng.normal(size=count) + positive
    weights = rng.integers(0, 4, size=(5, count)).astype(float)
    return positive, np.round(score, 1) if ties else score, weights


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [True, False])
def test_equal_to_scikit_learn(seed: int, ties: bool) -> None:
    positive, score, weights = cases(seed, ties=ties)
    assert auc(positive, score) == pytest.approx(sk.roc_auc_score(positive, score), abs=1e-12)
    assert average_precision(positive, score) == pytest.approx(
        sk.average_precision_score(positive, score), abs=1e-12
    )
    for function, reference in ((auc, sk.roc_auc_score), (average_precision, sk.average_precision_score)):
        expected = [reference(positive, score, sample_weight=w) for w in weights]
        np.testing.assert_allclose(function(positive, score, weights), expected, atol=1e-12)


def test_by_hand() -> None:
    positive = np.array([True, False, True, False])
    # pairs: .8>.5 ✓, .8>.1 ✓, .5=.5 ½, .5>.1 ✓
    assert auc(positive, np.array([0.8, 0.5, 0.5, 0.1])) == 3.5 / 4
    # descending: .8 (P 1, R ½), then .5 twice (P ⅔, R 1)
    assert average_precision(positive, np.array([0.8, 0.5, 0.5, 0.1])) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_weights_are_repetitions() -> None:
    positive, score, weights = cases(7, 60)
    repeats = weights[0].astype(int)
    expected = sk.roc_auc_score(np.repeat(positive, repeats), np.repeat(score, repeats))
    assert auc(positive, score, weights[:1])[0] == pytest.approx(expected, abs=1e-12)


def test_properties() -> None:
    positive, score, _ = cases(3)
    assert auc(positive, -score) == pytest.approx(1 - auc(positive, score))
    assert auc(~positive, score) == pytest.approx(1 - auc(positive, score))
    assert auc(positive, np.exp(score)) == auc(positive, score)
    assert auc(positive, positive.astype(float)) == average_precision(positive, positive.astype(float)) == 1
    assert auc(positive, np.zeros(len(score))) == 0.5
    assert average_precision(positive, np.zeros(len(score))) == pytest.approx(positive.mean())


def test_one_class_is_undefined() -> None:
    score = np.array([0.1, 0.2])
    assert np.isnan(auc(np.array([True, True]), score))
    assert np.isnan(average_precision(np.array([False, False]), score))
    assert np.isnan(auc(np.array([], bool), np.array([])))
    weights = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(auc(np.array([False, True]), score, weights), [np.nan, 1, np.nan])


def test_roc_curve_equal_to_scikit_learn() -> None:
    positive, score, _ = cases(2)
    curve = roc_curve(positive, score)
    false, true, thresholds = sk.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive, false)
    np.testing.assert_allclose(curve.true_positive, true)
    np.testing.assert_array_equal(curve.threshold, thresholds)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [0.05, 0.2, 0.63, 1.0])
def test_partial_auc_equal_to_scikit_learn(seed: int, limit: float) -> None:
    positive, score, weights = cases(seed)
    part = {"false_positive": (0.0, limit)}
    ours = partial_auc(positive, score, **part)
    # scikit-learn standardises as McClish does, but gives a whole area as it is; that too is ½ to 1 then
    assert ours == pytest.approx(sk.roc_auc_score(positive, score, max_fpr=limit), abs=1e-12)
    false, true, _ = sk.roc_curve(positive, score, drop_intermediate=False)
    x = np.append(false[false < limit], limit)
    raw = (
        np.trapezoid(np.append(true[false < limit], np.interp(limit, false, true)), x) if limit < 1 else None
    )
    if raw is not None and limit not in false:
        assert partial_auc(positive, score, standardised=False, **part) == pytest.approx(raw, abs=1e-12)
    expected = [sk.roc_auc_score(positive, score, max_fpr=limit, sample_weight=w) for w in weights]
    np.testing.assert_allclose(partial_auc(positive, score, weights, **part), expected, atol=1e-12)


def test_partial_auc_over_sensitivities() -> None:
    """Turned about: sensitivities of a score are specificities of the opposite question."""
    positive, score, _ = cases(1, ties=False)
    mirrored = partial_auc(~positive, -score, false_positive=(0.0, 0.1), standardised=False)
    assert partial_auc(positive, score, sensitivity=(0.9, 1.0), standardised=False) == pytest.approx(mirrored)
    whole = partial_auc(positive, score, sensitivity=(0.0, 1.0), standardised=False)
    assert whole == pytest.approx(auc(positive, score))
    parts = [partial_auc(positive, score, false_positive=p, standardised=False) for p in ((0, 0.3), (0.3, 1))]
    assert sum(parts) == pytest.approx(auc(positive, score))
    perfect = positive.astype(float)
    for part in ({"false_positive": (0.0, 0.2)}, {"sensitivity": (0.9, 1.0)}):
        assert partial_auc(positive, perfect, **part) == pytest.approx(1)
        assert partial_auc(positive, np.zeros(len(score)), **part) == pytest.approx(0.5)
    assert np.isnan(partial_auc(np.ones(3, bool), np.arange(3.0), false_positive=(0.0, 0.2)))

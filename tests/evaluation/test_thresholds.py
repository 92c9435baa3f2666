"""Operating points: chosen on validation, frozen, applied per fold."""

from __future__ import annotations

import numpy as np
import pytest

from senoscope.evaluation.thresholds import at_thresholds, choose_threshold, frozen_thresholds

SCORE = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.95, 0.35, 0.55, 0.75, 0.9])
POSITIVE = np.array([False] * 10 + [True] * 4)


def test_by_hand() -> None:
    # Specificity .9 allows one of ten negatives above: the .95. The lowest such threshold lies above .8, midway
    # to the next score, .9.
    assert choose_threshold(POSITIVE, SCORE, "specificity", 0.9) == pytest.approx(0.85)
    # Sensitivity .75 needs three of four: the highest such threshold lies below .55, midway to .5.
    assert choose_threshold(POSITIVE, SCORE, "sensitivity", 0.75) == pytest.approx(0.525)
    assert choose_threshold(POSITIVE, SCORE, "sensitivity", 0.9) == pytest.approx(0.325)


@pytest.mark.parametrize("seed", range(5))
def test_holds_its_target_and_gives_up_least(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(150) < 0.4
    score = np.clip(np.round(0.3 * rng.random(150) + 0.4 * positive * rng.random(150) + 0.1, 2), 0, 1)
    candidates = np.append(np.unique(score), 1.1)
    spec = np.array([(score[~positive] < t).mean() for t in candidates])
    sens = np.array([(score[positive] >= t).mean() for t in candidates])
    at_spec = choose_threshold(positive, score, "specificity", 0.9)
    assert (score[positive] >= at_spec).mean() == pytest.approx(sens[spec >= 0.9].max())
    assert (score[~positive] < at_spec).mean() >= 0.9
    at_sens = choose_threshold(positive, score, "sensitivity", 0.9)
    assert (score[~positive] < at_sens).mean() == pytest.approx(spec[sens >= 0.9].max())
    assert (score[positive] >= at_sens).mean() >= 0.9


def test_extremes() -> None:
    positive = np.array([False, True])
    backwards = np.array([1.0, 0.0])
    assert choose_threshold(positive, backwards, "sensitivity", 0.9) == 0
    assert choose_threshold(positive, backwards, "specificity", 0.9) > 1
    close = np.array([0.5, np.nextafter(0.5, 1)])
    assert (close >= choose_threshold(positive, close, "specificity", 0.9)).tolist() == [False, True]
    with pytest.raises(ValueError, match="positives and negatives"):
        choose_threshold(np.array([True, True]), backwards, "sensitivity", 0.9)


def test_frozen_per_fold() -> None:
    # Fold 0's validation cases ask for .5, fold 1's for .8; fold 2 has no positive and is left out.
    score = np.array([0.4, 0.6, 0.7, 0.9, 0.1, 0.2])
    positive = np.array([False, True, False, True, False, False])
    fold = np.array([0, 0, 1, 1, 2, 2])
    thresholds = frozen_thresholds(positive, score, fold, np.ones(6, bool), "specificity", 0.9)
    assert thresholds == {0: pytest.approx(0.5), 1: pytest.approx(0.8)}
    test_score = np.array([0.7, 0.3, 0.7, 0.85, 0.99])
    test_positive = np.array([True, False, True, False, True])
    test_fold = np.array([0, 0, 1, 1, 2])
    found = at_thresholds(test_positive, test_score, test_fold, np.ones(5, bool), thresholds)
    assert found["sensitivity"].value == 0.5  # .7 is positive under fold 0's threshold, not under fold 1's
    assert found["specificity"].value == 0.5
    assert len(found["sensitivity"].rows) == 2  # fold 2 has no threshold

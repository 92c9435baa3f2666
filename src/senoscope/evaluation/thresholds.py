"""Operating points: thresholds chosen on validation cases, frozen, then applied to the test cases of their
fold.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation.estimator import Estimator, mean
from senoscope.evaluation.ranking import roc_curve
from senoscope.schema import BoolArray

Floats = NDArray[np.float64]

TARGETS: dict[str, tuple[str, float]] = {
    "specificity_90": ("specificity", 0.90),
    "sensitivity_90": ("sensitivity", 0.90),
    "sensitivity_95": ("sensitivity", 0.95),
}
"""Operating points: what is held on the validation cases, and at how much."""


def choose_threshold(positive: BoolArray, score: Floats, kind: str, target: float) -> float:
    """The threshold (positive from it up) that holds ``kind`` at ``target`` or more and gives up least for
    it.

    Holding the specificity takes the lowest such threshold, holding the sensitivity the highest. Thresholds
    lie midway between neighbouring scores in 0..1, so that no single validation case decides. Raises
    ``ValueError`` when one class is absent.
    """
    if not positive.any() or positive.all():
        raise ValueError("a threshold needs positives and negatives")
    curve = roc_curve(positive, score)
    scores = curve.threshold[1:]  # descending; the curve's first corner calls nothing positive
    midway = (scores[:-1] + scores[1:]) / 2
    midway = np.where(midway > scores[1:], midway, scores[:-1])  # neighbouring floats have nothing between
    thresholds = np.concatenate([[np.nextafter(1.0, 2.0)], midway, [0.0]])
    if kind == "specificity":
        holds = np.flatnonzero(1 - curve.false_positive >= target - 1e-12)
        return float(thresholds[holds[-1]])
    holds = np.flatnonzero(curve.true_positive >= target - 1e-12)
    return float(thresholds[holds[0]])


def frozen_thresholds(
    positive: BoolArray, score: Floats, fold: NDArray[np.int64], rows: BoolArray, kind: str, target: float
) -> dict[int, float]:
    """Per fold, the threshold chosen on the validation cases ``rows``; folds without both classes are left
    out.
    """
    chosen: dict[int, float] = {}
    for number in np.unique(fold[rows]).tolist():
        here = rows & (fold == number)
        if positive[here].any() and not positive[here].all():
            chosen[number] = choose_threshold(positive[here], score[here], kind, target)
    return chosen


def at_thresholds(
    positive: BoolArray,
    score: Floats,
    fold: NDArray[np.int64],
    rows: BoolArray,
    thresholds: Mapping[int, float],
) -> dict[str, Estimator]:
    """Sensitivity and specificity of the test cases ``rows``, each under its own fold's frozen threshold."""
    limit = np.array([thresholds.get(number, np.nan) for number in fold.tolist()])
    rows = rows & np.isfinite(limit)
    called = score >= limit
    return {
        "sensitivity": mean(called, rows & positive),
        "specificity": mean(~called, rows & ~positive),
    }

"""How well a score ranks positives above negatives: ROC and precision-recall, with case weights.

Every function takes ``weights`` of shape (…, N), so that thousands of bootstrap resamples are one array
operation; scikit-learn's functions, which the tests hold these to, take one weighting at a time. Without
weights every case counts once. Undefined values (one class absent) are NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from senoscope.schema import BoolArray

Floats = NDArray[np.float64]


class RocCurve(NamedTuple):
    """Corners of an empirical ROC curve from (0, 0) to (1, 1); ``threshold`` is the lowest positive score."""

    false_positive: Floats
    true_positive: Floats
    threshold: Floats


def auc(positive: BoolArray, score: Floats, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half
    (Mann–Whitney).
    """
    hits, misses = _by_score(positive, score, weights)
    below = np.cumsum(misses, axis=-1) - misses
    pairs = hits.sum(-1) * misses.sum(-1)
    return _divide((hits * (below + misses / 2)).sum(-1), pairs)


def average_precision(positive: BoolArray, score: Floats, weights: Floats | None = None) -> Floats:
    """Average precision Σ (Rₖ − Rₖ₋₁) Pₖ over descending thresholds, tied scores sharing one threshold."""
    hits, misses = _by_score(positive, score, weights)
    hits, misses = hits[..., ::-1], misses[..., ::-1]
    found = np.cumsum(hits, axis=-1)
    called = found + np.cumsum(misses, axis=-1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return _divide((hits * precision).sum(-1), hits.sum(-1))


def roc_curve(positive: BoolArray, score: Floats) -> RocCurve:
    """The empirical ROC curve of N cases, one corner per distinct score. NaN if a class is absent."""
    hits, misses = _by_score(positive, score, None)
    true = _divide(np.cumsum(hits[::-1]), hits.sum())
    false = _divide(np.cumsum(misses[::-1]), misses.sum())
    threshold = np.append(np.inf, np.unique(score)[::-1])
    return RocCurve(np.append(0.0, false), np.append(0.0, true), threshold)


def _by_score(positive: BoolArray, score: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Weight of the positives and of the negatives at each distinct score, ascending: two (…, K) arrays."""
    weights = np.ones(len(score)) if weights is None else weights
    order = np.argsort(score, kind="stable")
    ranked, is_positive = score[order], positive[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else np.array([], int)
    if not len(starts):
        empty = np.zeros((*weights.shape[:-1], 1))
        return empty, empty
    ordered = weights[..., order]
    hits = np.add.reduceat(ordered * is_positive, starts, axis=-1)
    return hits, np.add.reduceat(ordered, starts, axis=-1) - hits


def _divide(over: Floats, under: Floats) -> Floats:
    shares = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=np.asarray(under) > 0)
    return np.asarray(shares, dtype=np.float64)

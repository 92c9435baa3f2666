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


def partial_auc(
    positive: BoolArray,
    score: Floats,
    weights: Floats | None = None,
    *,
    false_positive: tuple[float, float] = (0.0, 1.0),
    sensitivity: tuple[float, float] | None = None,
    standardised: bool = True,
) -> Floats:
    """Area under a part of the ROC curve: a range of false-positive rates, or of sensitivities.

    Over sensitivities, the area lies to the right of the curve (the integral of the specificity). ``standardised``
    maps the area of a useless score to ½ and of a perfect one to 1 (McClish 1989, doi:10.1177/0272989X8900900307),
    ½·(1 + (A − least)/(most − least)).
    """
    hits, misses = (part[..., ::-1] for part in _by_score(positive, score, weights))
    start = np.zeros((*hits.shape[:-1], 1))
    true = np.concatenate([start, _divide(np.cumsum(hits, -1), hits.sum(-1)[..., None])], axis=-1)
    false = np.concatenate([start, _divide(np.cumsum(misses, -1), misses.sum(-1)[..., None])], axis=-1)
    if sensitivity is None:
        low, high = false_positive
        area, least = _between(false, true, low, high), (high**2 - low**2) / 2
    else:
        low, high = sensitivity
        area = _between(true, 1 - false, low, high)
        least = (high - low) - (high**2 - low**2) / 2
    most = high - low
    return np.asarray((1 + (area - least) / (most - least)) / 2 if standardised else area)


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


def _between(x: Floats, y: Floats, low: float, high: float) -> Floats:
    """Area below the polygon (x ascending, y) between two values of x."""
    left, right = x[..., :-1], x[..., 1:]
    wide = np.where(right > left, right - left, 1.0)
    rise = (y[..., 1:] - y[..., :-1]) / wide
    start, end = np.clip(left, low, high), np.clip(right, low, high)
    middle = y[..., :-1] + rise * ((start + end) / 2 - left)
    return np.asarray(((end - start) * middle).sum(axis=-1))


def _divide(over: Floats, under: Floats) -> Floats:
    known = np.broadcast_to(np.asarray(under) > 0, np.shape(over))
    shares = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=known)
    return np.asarray(shares, dtype=np.float64)

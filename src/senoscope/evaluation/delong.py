"""The area under the ROC curve without resampling: its variance, its interval, and two areas compared.

DeLong, DeLong & Clarke-Pearson 1988 (doi:10.2307/2531595): every case has a *component*, the share of the other
class that it is ranked rightly against, and the variance of the area is that of the components' means. They come
from midranks in one sort (Sun & Xu 2014, doi:10.1109/LSP.2014.2337313). With clusters, components of one cluster
are summed before they are squared, and a cluster that holds both classes adds a covariance (Obuchowski 1997,
doi:10.2307/2533958, equations 2 to 5); with clusters of one case that is DeLong's variance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from senoscope.errors import UsageError
from senoscope.evaluation.bootstrap import Interval
from senoscope.evaluation.paired import PairedTest
from senoscope.schema import BoolArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def auc_variance(positive: BoolArray, score: Floats, cluster: Ints | None = None) -> float:
    """Variance of the area for N cases; NaN with fewer than two (clusters of) positives or of negatives."""
    return float(_areas(positive, score[None], cluster)[1][0, 0])


def auc_interval(
    positive: BoolArray, score: Floats, cluster: Ints | None = None, level: float = 0.95
) -> Interval:
    """The area and its interval, symmetric on the logit scale so that it stays within 0..1.

    Pepe 2003 (The Statistical Evaluation of Medical Tests, section 5.2.5). There is no interval where the variance
    is unknown or the area is exactly 0 or 1.
    """
    areas, covariance = _areas(positive, score[None], cluster)
    area, variance = float(areas[0]), float(covariance[0, 0])
    found = Interval(value=area if np.isfinite(area) else None, low=None, high=None, n=len(score))
    if np.isfinite(variance) and 0 < area < 1:
        reach = norm.ppf((1 + level) / 2) * np.sqrt(variance) / (area * (1 - area))
        found["low"], found["high"] = (float(expit(logit(area) + side * reach)) for side in (-1, 1))
    return found


def compare_auc(
    positive: BoolArray,
    first: Floats,
    second: Floats,
    cluster: Ints | None = None,
    *,
    what: str = "auc_benign_malignant",
    level: float = 0.95,
) -> PairedTest:
    """Two scores of the same N cases: difference of the areas, its interval, z and two-sided p.

    K×N scores are those of K trainings of one system (its seeds), whose areas are averaged.
    Two scores that order the cases alike have difference 0 and p 1. Interval and p are ``None`` where the variance
    is unknown. Raises :class:`UsageError` when a class is absent or the lengths differ.
    """
    ones, twos = np.atleast_2d(first), np.atleast_2d(second)
    lengths = {len(positive), ones.shape[1], twos.shape[1]}
    if len(lengths) > 1 or positive.all() or not positive.any():
        raise UsageError(
            f"{int(positive.sum())} positives of {len(positive)}, with {ones.shape[1]} and {twos.shape[1]} scores",
            expected="positives and negatives, and one score of each system per case",
        )
    areas, covariance = _areas(positive, np.concatenate([ones, twos]), cluster)
    contrast = np.concatenate([np.full(len(ones), 1 / len(ones)), np.full(len(twos), -1 / len(twos))])
    difference = float(contrast @ areas)
    variance = float(contrast @ covariance @ contrast)
    spread = float(np.sqrt(max(variance, 0.0)))
    z: float | None = None
    low = high = p = None
    if abs(difference) < 1e-12 and spread < 1e-12:
        z, p, low, high = 0.0, 1.0, 0.0, 0.0
    elif np.isfinite(variance) and spread > 1e-12:
        z = difference / spread
        p = float(2 * norm.sf(abs(z)))
        reach = float(norm.ppf((1 + level) / 2)) * spread
        low, high = difference - reach, difference + reach
    name = "DeLong" if cluster is None else "DeLong, clusters as Obuchowski"
    return PairedTest(
        what=what, first=float(areas[: len(ones)].mean()), second=float(areas[len(ones) :].mean()),
        difference=difference, low=low, high=high, statistic=z, p=p, n=len(positive), method=name,
    )  # fmt: skip


def _areas(positive: BoolArray, scores: Floats, cluster: Ints | None) -> tuple[Floats, Floats]:
    """Areas (K) of K scores of N cases, and their K×K covariance."""
    up, down = _components(positive, scores)
    areas = up.mean(axis=1) if up.size else np.full(len(scores), np.nan)
    codes = np.arange(len(positive)) if cluster is None else np.unique(cluster, return_inverse=True)[1]
    count = int(codes.max()) + 1 if len(codes) else 0
    sums = []
    for components, rows in ((up, positive), (down, ~positive)):
        where, number = codes[rows], int(rows.sum())
        centred = components - areas[:, None]
        each = np.stack([np.bincount(where, part, count) for part in centred]) / max(number, 1)
        sums.append((each, len(np.unique(where))))
    (above, with_positive), (below, with_negative) = sums
    if min(with_positive, with_negative) < 2:
        return areas, np.full((len(scores), len(scores)), np.nan)
    both = above @ below.T * count / (count - 1)
    covariance = (
        above @ above.T * with_positive / (with_positive - 1)
        + below @ below.T * with_negative / (with_negative - 1)
        + both
        + both.T
    )
    return areas, covariance


def _components(positive: BoolArray, scores: Floats) -> tuple[Floats, Floats]:
    """Per score, the share of negatives below each positive, and of positives above each negative (ties half)."""
    ups, downs = scores[:, positive], scores[:, ~positive]
    m, n = ups.shape[1], downs.shape[1]
    if not m or not n:
        return np.full(ups.shape, np.nan), np.full(downs.shape, np.nan)
    ranks = rankdata(np.concatenate([ups, downs], axis=1), axis=1)
    up = (ranks[:, :m] - rankdata(ups, axis=1)) / n
    down = 1 - (ranks[:, m:] - rankdata(downs, axis=1)) / m
    return np.asarray(up, dtype=np.float64), np.asarray(down, dtype=np.float64)

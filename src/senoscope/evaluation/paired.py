"""Two systems on the same cases: is the difference more than chance?

Images of one patient, or near-duplicates of each other, are not independent; every test here but McNemar's treats
whole clusters as the units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from senoscope.evaluation.bootstrap import RESAMPLES, Interval, bootstrap
from senoscope.evaluation.estimator import Estimator
from senoscope.schema import BoolArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLIPS = 10_000
"""Random sign flips of a permutation test; its smallest p is 1 / (FLIPS + 1)."""


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A two-sided test of ``difference`` = first − second = 0 on ``n`` cases that both systems answered.

    ``low`` and ``high`` bound the difference (95 %), ``None`` where the test gives no interval; ``statistic`` and
    ``p`` are ``None`` where the test is undefined.
    """

    what: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    statistic: float | None
    p: float | None
    n: int
    method: str


def mcnemar(
    first: BoolArray, second: BoolArray, *, mid_p: bool = False, what: str = "accuracy"
) -> PairedTest:
    """Shares of right answers (bool N each) compared by the cases that only one system gets right.

    Under no difference the b cases of b + c discordant ones that only the first gets right are binomial with ½
    (McNemar 1947, doi:10.1007/BF02295996). The exact p is conservative; the mid-p counts half of the observed table
    (Fagerland, Lydersen & Laake 2013, doi:10.1186/1471-2288-13-91). ``statistic`` is b. Cases are taken as
    independent: with clusters, look at :func:`permutation` too.
    """
    only_first = int(np.count_nonzero(first & ~second))
    discordant = only_first + int(np.count_nonzero(second & ~first))
    p = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    if mid_p and discordant:
        smaller = min(only_first, discordant - only_first)
        tail = stats.binom.cdf(smaller, discordant, 0.5) - 0.5 * stats.binom.pmf(smaller, discordant, 0.5)
        p = min(1.0, 2 * float(tail))
    method = "McNemar, mid-p" if mid_p else "McNemar, exact"
    return _test(what, first, second, float(only_first), p, method)


def wilcoxon(first: Floats, second: Floats, cluster: Ints | None = None, *, what: str = "dice") -> PairedTest:
    """Wilcoxon's signed-rank test of paired values, on the mean difference of each cluster.

    SciPy's (exact for few clusters without ties, else normal with tie correction); clusters without a difference are
    left out (Wilcoxon 1945, doi:10.2307/3001968). ``statistic`` is the smaller rank sum. ``first``, ``second`` and
    ``difference`` are means over cases.
    """
    sums, sizes = _by_cluster(first - second, cluster)
    means = sums / sizes
    means = means[np.abs(means) > 1e-12]
    if not len(means):
        return _test(what, first, second, 0.0, 1.0, "Wilcoxon signed rank, cluster means")
    found = stats.wilcoxon(means)
    method = "Wilcoxon signed rank" + ("" if cluster is None else ", cluster means")
    return _test(what, first, second, float(found.statistic), float(found.pvalue), method)


def permutation(
    first: ArrayLike,
    second: ArrayLike,
    cluster: Ints | None = None,
    *,
    what: str = "dice",
    flips: int = FLIPS,
    seed: int = 0,
) -> PairedTest:
    """Randomisation test of a mean difference: the two systems' values are swapped in whole clusters at random.

    p is (1 + number of flips at least as far from 0) / (1 + flips), which is never 0 and keeps its level
    (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585). ``statistic`` is the mean difference over cases.
    """
    one, two = (np.asarray(values, dtype=np.float64) for values in (first, second))
    sums, _ = _by_cluster(one - two, cluster)
    moved = sums[np.abs(sums) > 1e-12]  # a cluster without a difference is the same either way round
    observed = abs(float(sums.sum()))
    generator = np.random.default_rng(seed)
    further, done = 0, 0
    while done < flips and len(moved):
        count = min(flips - done, max(1, 2_000_000 // len(moved)))
        signs = 2.0 * generator.integers(0, 2, size=(count, len(moved))) - 1
        further += int(np.count_nonzero(np.abs(signs @ moved) >= observed - 1e-9))
        done += count
    p = (1 + further) / (1 + flips) if len(moved) else 1.0
    method = f"permutation, {flips:,} sign flips" + ("" if cluster is None else " of clusters")
    return _test(what, one, two, float((one - two).mean()), p, method)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, which keep the chance of any false alarm (Holm 1979).

    Scandinavian Journal of Statistics 6:65: the k-th smallest of m is multiplied by m − k + 1, never falls below a
    smaller one's, and stops at 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def difference(first: Estimator, second: Estimator) -> Estimator:
    """The figure ``first`` − ``second`` of one set of cases, on the rows that either of them is about."""
    rows = np.union1d(first.rows, second.rows)
    places = [np.searchsorted(rows, part.rows) for part in (first, second)]

    def of(weights: Floats) -> Floats:
        return first.of(weights[..., places[0]]) - second.of(weights[..., places[1]])

    return Estimator(rows, of)


def paired_difference(
    first: Estimator,
    second: Estimator,
    cluster: Ints,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Clustered bootstrap interval of a difference; both figures see the same draws (see ``bootstrap``)."""
    figures = {"difference": difference(first, second)}
    found = bootstrap(figures, cluster, resamples=resamples, seed=seed, level=level, corrected=False)
    return found["difference"]


def _by_cluster(values: Floats, cluster: Ints | None) -> tuple[Floats, Floats]:
    """Sum and number of cases of each cluster."""
    if cluster is None:
        return values, np.ones(len(values))
    codes = np.unique(cluster, return_inverse=True)[1]
    sums = np.bincount(codes, values).astype(np.float64)
    return sums, np.bincount(codes).astype(np.float64)


def _test(
    what: str, first: ArrayLike, second: ArrayLike, statistic: float, p: float, method: str
) -> PairedTest:
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    means = float(one.mean()), float(two.mean())
    return PairedTest(
        what=what, first=means[0], second=means[1], difference=means[0] - means[1],
        low=None, high=None, statistic=statistic, p=p, n=len(one), method=method,
    )  # fmt: skip

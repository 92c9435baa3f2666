"""95 % percentile intervals from a bootstrap that resamples clusters, not cases.

Images of one patient, or near-duplicates of each other, are not independent: an interval that treats them
so is too narrow. Whole clusters are drawn with replacement, as many as there are, and every case of a
cluster counts as often as its cluster was drawn (Davison & Hinkley 1997, section 3.8; Field & Welsh 2007,
doi:10.1111/j.1467-9868.2007.00593.x). A resample is a vector of case weights, so all figures share the same
resamples and none is recomputed in a loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation.estimator import Estimator

RESAMPLES = 2000
_CHUNK_CELLS = 2_000_000  # resamples × cases held at once: 16 MB


class Interval(TypedDict):
    """A figure with its 95 % interval and the number of cases; ``None`` where it is undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap(
    estimators: Mapping[str, Estimator],
    cluster: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Point estimate and percentile interval of each estimator; ``cluster`` numbers the clusters of the N
    cases.

    A share of exactly 0 or 1 is the same in every resample; its interval is the exact binomial one (Clopper
    & Pearson 1934) with clusters for trials. A resample in which a figure is undefined (say, one class
    drawn only) is left out for that figure; with fewer than two clusters, or when more than half of the
    resamples are undefined, there is no interval.
    """
    _, codes = np.unique(cluster, return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    draws: dict[str, list[NDArray[np.float64]]] = {name: [] for name in estimators}
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // max(1, len(codes)))
    for start in range(0, resamples if count > 1 else 0, chunk):
        weights = _cluster_counts(generator, count, min(chunk, resamples - start))[:, codes]
        for name, estimator in estimators.items():
            draws[name].append(estimator.of(weights[:, estimator.rows]))
    found = {name: _interval(estimator, draws[name], level) for name, estimator in estimators.items()}
    for name, estimator in estimators.items():
        if estimator.share and found[name]["value"] in (0.0, 1.0) and count > 1:
            found[name] = _at_the_end(found[name], len(np.unique(codes[estimator.rows])), level)
    return found


def _cluster_counts(generator: np.random.Generator, count: int, resamples: int) -> NDArray[np.float64]:
    """How often each cluster is drawn, resamples × count; each row sums to ``count``."""
    drawn = generator.integers(0, count, size=(resamples, count))
    drawn += np.arange(resamples)[:, None] * count
    counts = np.bincount(drawn.ravel(), minlength=resamples * count)
    return counts.reshape(resamples, count).astype(np.float64)


def _interval(estimator: Estimator, draws: list[NDArray[np.float64]], level: float) -> Interval:
    value = estimator.value if len(estimator.rows) else np.nan
    result = Interval(value=None, low=None, high=None, n=len(estimator.rows))
    if not np.isfinite(value):
        return result
    result["value"] = value
    values = np.concatenate(draws) if draws else np.array([])
    defined = values[np.isfinite(values)]
    if len(defined) and 2 * len(defined) >= len(values):
        tail = 50 * (1 - level)
        if estimator.noisy:
            defined = np.maximum(defined - defined.mean() + value, 0)
        low, high = np.percentile(defined, [tail, 100 - tail])
        result["low"], result["high"] = float(low), float(high)
    return result


def _at_the_end(interval: Interval, clusters: int, level: float) -> Interval:
    """The interval of a share of 0 or 1, where no resample differs."""
    reach = 1 - ((1 - level) / 2) ** (1 / clusters)
    low, high = (0.0, reach) if interval["value"] == 0 else (1 - reach, 1.0)
    return Interval(value=interval["value"], low=low, high=high, n=interval["n"])

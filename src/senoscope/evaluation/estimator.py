"""An estimator: the rows a figure is computed on, and how, under any case weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from senoscope.schema import BoolArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimator:
    """A figure of a table.

    ``rows`` are the indices of the n cases that it is about; ``of`` maps their weights (…, n) to values
    (…), NaN where the figure is undefined. The point estimate is the value under weights of one. ``share``
    marks a count of cases over a count of cases, ``noisy`` a figure that sampling noise pushes one way, as it
    does a calibration error.
    """

    rows: NDArray[np.intp]
    of: Callable[[Floats], Floats]
    share: bool = False
    noisy: bool = False

    @property
    def value(self) -> float:
        """The point estimate."""
        return float(self.of(np.ones(len(self.rows))))


def ratio(over: ArrayLike, under: ArrayLike, rows: BoolArray) -> Estimator:
    """Σ w·over / Σ w·under over the cases where ``rows`` (bool N) is true: shares, means and pooled
    overlaps.
    """
    picked = np.flatnonzero(rows)
    pair = np.stack(
        [np.broadcast_to(np.asarray(x, dtype=np.float64), rows.shape)[picked] for x in (over, under)]
    )

    def of(weights: Floats) -> Floats:
        sums = weights @ pair.T
        top, bottom = sums[..., 0], sums[..., 1]
        shares = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
        return np.asarray(shares, dtype=np.float64)

    return Estimator(picked, of)


def mean(values: ArrayLike, rows: BoolArray) -> Estimator:
    """Weighted mean of ``values`` over the cases where ``rows`` is true; a share if they are true or false."""
    return replace(ratio(values, 1.0, rows), share=np.asarray(values).dtype == bool)

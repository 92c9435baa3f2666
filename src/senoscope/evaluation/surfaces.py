"""How far apart two outlines are: 95th-percentile Hausdorff distance and normalised surface Dice.

The outline of a mask is its pixels that touch the background across an edge (4-neighbourhood); outside the
image counts as background. Distances run between pixel centres. These are MONAI's conventions
(``compute_hausdorff_distance(percentile=95)``, ``compute_surface_dice``); the code here is NumPy and a k-d
tree, so that tables can be written without torch, and the tests hold it to MONAI's values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from senoscope.schema import BoolArray

TOLERANCE_PX = 2.0
"""Tolerance of the normalised surface Dice, in pixels of the original frame."""


class SurfaceScores(NamedTuple):
    """``hd95`` in pixels (``None`` when one outline is missing), ``nsd`` in 0..1 (``None`` when both are)."""

    hd95: float | None
    nsd: float | None


def outline(mask: BoolArray) -> NDArray[np.float64]:
    """Pixels of an H×W mask that touch the background, as N×2 (row, column)."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return np.empty((0, 2))
    columns = np.flatnonzero(mask.any(axis=0))
    top, left = rows[0], columns[0]
    padded = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    centre = padded[1:-1, 1:-1]
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    found = np.argwhere(centre & ~inside).astype(np.float64)
    return np.add(found, [top, left])


def surface_scores(truth: BoolArray, predicted: BoolArray, tolerance: float = TOLERANCE_PX) -> SurfaceScores:
    """HD95 and NSD of two masks of one frame.

    HD95 is the larger of the two directed 95th percentiles (linear interpolation). NSD is the share of both
    outlines that lies within ``tolerance`` pixels of the other (Nikolov et al. 2021,
    doi:10.2196/26151). A missed or an invented lesion has no HD95 and NSD 0; two empty masks have neither.
    """
    first, second = outline(truth), outline(predicted)
    if not len(first) and not len(second):
        return SurfaceScores(None, None)
    if not len(first) or not len(second):
        return SurfaceScores(None, 0.0)
    to_truth = KDTree(first).query(second)[0]
    to_predicted = KDTree(second).query(first)[0]
    hd95 = max(float(np.percentile(d, 95)) for d in (to_truth, to_predicted))
    near = np.count_nonzero(to_truth <= tolerance) + np.count_nonzero(to_predicted <= tolerance)
    return SurfaceScores(hd95, float(near / (len(first) + len(second))))

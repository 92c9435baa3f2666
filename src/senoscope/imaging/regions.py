"""From a lesion probability map to its regions, and a second, closer look at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import LineType, contour_generator
from scipy import ndimage

from senoscope.imaging.masks import contour_to_mask, mask_to_box
from senoscope.schema import BoolArray, FloatArray

MAX_FINDINGS = 8
"""More components than this are noise; the largest are kept."""

MASK_THRESHOLD, MIN_AREA, MIN_SHARE = 0.5, 0.0006, 0.25
"""What counts as a lesion in a run's maps and in the bundles made of runs, see ``find_regions``.

``MIN_SHARE`` was chosen on validation cases (docs/explanation/transfer.md)."""

Window = tuple[slice, slice]
"""Rows and columns of a picture."""

_AROUND, _SMALLEST = 2.2, 1 / 3
"""The closer look's window: its side in longer sides of what was outlined, and the least share of the image's.

Chosen on validation cases (docs/explanation/transfer.md)."""


@dataclass(frozen=True, slots=True)
class Region:
    """One connected part of a lesion map. ``mask`` is a crop whose upper-left pixel is ``(row, column)`` of the map."""

    row: int
    column: int
    mask: BoolArray
    contour: FloatArray
    confidence: float

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())

    def full_mask(self, size: tuple[int, int]) -> BoolArray:
        """The region in the whole frame, bool H×W."""
        whole = np.zeros(size, dtype=np.bool_)
        whole[self.row : self.row + self.mask.shape[0], self.column : self.column + self.mask.shape[1]] = (
            self.mask
        )
        return whole


def find_regions(
    lesion_map: FloatArray, threshold: float, min_area: float, min_share: float = 0.0
) -> list[Region]:
    """Parts of ``lesion_map`` (H×W, 0..1) at or above ``threshold``, largest first, holes filled.

    Parts below ``min_area`` (share of the image's pixels) are left out, and so are those whose weight, the sum of
    probability above the threshold, is below ``min_share`` of the heaviest's. As in ``imaging.masks``, pixels that
    touch only at a corner are apart.
    """
    above = lesion_map >= threshold
    bounds = mask_to_box(above)
    if bounds is None:
        return []
    top, left = int(bounds.y), int(bounds.x)
    labels, _ = ndimage.label(above[top : top + int(bounds.height), left : left + int(bounds.width)])
    smallest = max(min_area * lesion_map.size, 4)
    regions = []
    for index, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        if (rows.stop - rows.start) * (columns.stop - columns.start) < smallest:
            continue  # specks, told from their box alone: a noisy map has thousands
        region = _region(
            lesion_map, labels[rows, columns] == index, top + rows.start, left + columns.start, threshold
        )
        if region.area >= smallest:
            regions.append(region)
    weights = [region.area * (region.confidence - threshold) for region in regions]
    heavy = min_share * max(weights, default=0.0)
    regions = [region for region, weight in zip(regions, weights, strict=True) if weight >= heavy]
    regions.sort(key=lambda region: region.area, reverse=True)
    return regions[:MAX_FINDINGS]


def lesion_mask(regions: Sequence[Region], size: tuple[int, int]) -> BoolArray:
    """Every region together, bool H×W."""
    whole = np.zeros(size, dtype=np.bool_)
    for region in regions:
        whole |= region.full_mask(size)
    return whole


def closer_window(regions: Sequence[Region], size: tuple[int, int]) -> Window | None:
    """A square around all regions, moved and cut to lie inside an image of ``size`` (H, W).

    ``None`` where there is nothing to look at closer: no region, or the square would hold the whole image.
    """
    height, width = size
    if not regions:
        return None
    top, left = min(region.row for region in regions), min(region.column for region in regions)
    bottom = max(region.row + region.mask.shape[0] for region in regions)
    right = max(region.column + region.mask.shape[1] for region in regions)
    side = round(max(_AROUND * max(bottom - top, right - left), _SMALLEST * max(height, width)))
    if side >= max(height, width):
        return None
    row = min(max((top + bottom - side) // 2, 0), max(height - side, 0))
    column = min(max((left + right - side) // 2, 0), max(width - side, 0))
    return slice(row, min(row + side, height)), slice(column, min(column + side, width))


def refine(
    lesion_map: FloatArray,
    regions: Sequence[Region],
    gray: FloatArray,
    look: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """The map H×W of an image, within :func:`closer_window` the mean with what ``look`` says of that window alone.

    ``look`` takes a part of the image, float32 h×w, and gives its lesion map h×w in 0..1. Without a region the map
    stays as it is: nothing is outlined where the first look saw nothing at all.
    """
    window = closer_window(regions, (lesion_map.shape[0], lesion_map.shape[1]))
    if window is None:
        return lesion_map
    refined = lesion_map.copy()
    refined[window] = (lesion_map[window] + look(np.ascontiguousarray(gray[window]))) / 2
    return refined


def _region(lesion_map: FloatArray, inside: BoolArray, row: int, column: int, threshold: float) -> Region:
    """The region that is ``inside`` of the window starting at row and column: its outer line and all within it."""
    height, width = inside.shape
    top, left = max(row - 1, 0), max(column - 1, 0)  # one pixel more: the line runs between pixels
    around = lesion_map[top : row + height + 1, left : column + width + 1]
    own = np.zeros(around.shape, dtype=np.bool_)
    own[row - top : row - top + height, column - left : column - left + width] = inside
    values = np.where(
        own, around, np.minimum(around, threshold * 0.998)
    )  # neighbours are pushed below the line
    lines = contour_generator(z=np.pad(values, 1), line_type=LineType.Separate).lines(threshold * 0.999)
    outer = max(
        (np.asarray(line)[:-1] - 1.0 for line in lines), key=lambda line: float(np.ptp(line, axis=0).prod())
    )
    mask = contour_to_mask(outer.astype(np.float32), around.shape)
    contour = (outer + np.array([left, top])).astype(np.float32)
    return Region(top, left, mask, contour, float(around[mask].mean()))

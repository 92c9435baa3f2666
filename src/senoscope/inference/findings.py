"""From a lesion probability map to findings: components, contours, sizes and descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import LineType, contour_generator
from scipy import ndimage

from senoscope.imaging.masks import contour_to_mask, mask_to_box
from senoscope.inference import shape
from senoscope.schema import BoolArray, Box, Finding, FloatArray

MAX_FINDINGS = 8
"""More components than this are noise; the largest are kept."""

_BAND = 0.18  # of the equivalent radius: how far beside the margin brightness is compared


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


def make_finding(
    region: Region, gray: FloatArray, spacing: tuple[float, float] | None, score: float | None
) -> Finding:
    """A region described. ``gray`` is the image in the same frame; ``spacing`` (row, column) mm per pixel or None."""
    row_mm, column_mm = spacing or (1.0, 1.0)
    aspect = np.array(
        [column_mm / row_mm, 1.0], dtype=np.float32
    )  # square pixels for shape, whatever the spacing
    measures = shape.describe(region.contour * aspect)
    diameter = measures.pop("max_diameter")
    if spacing is None:
        measures["max_diameter_px"] = diameter
    else:
        measures["max_diameter_mm"] = diameter * row_mm
    radius = float(np.sqrt(region.area / np.pi))
    measures["sharpness"] = shape.sharpness(gray, region.contour, max(_BAND * radius, 2.0))
    box = mask_to_box(region.mask) or Box(0, 0, 0, 0)
    return Finding(
        contour=region.contour,
        box=Box(region.column + box.x, region.row + box.y, box.width, box.height),
        area_px=region.area,
        area_mm2=None if spacing is None else region.area * row_mm * column_mm,
        score=score,
        confidence=region.confidence,
        shape=shape.shape_word(measures),
        orientation=shape.orientation_word(measures),
        margin=shape.margin_word(measures),
        measures={name: round(value, 4) for name, value in measures.items()},
    )


def box_finding(box: Box, score: float | None) -> Finding:
    """A detector's box as a finding. Its contour is the rectangle, so whatever describes an outline is not given."""
    left, top = box.x - 0.5, box.y - 0.5  # contours count from pixel centres, boxes from corners
    right, bottom = left + box.width, top + box.height
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return Finding(
        contour=np.array(corners, dtype=np.float32),
        box=box,
        area_px=None,
        area_mm2=None,
        score=score,
        confidence=None,
        shape=None,
        orientation=None,
        margin=None,
    )


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

"""Mask ↔ box ↔ contour, exact in both directions.

A mask is a set of pixels; a pixel belongs to a shape if its centre lies inside. Contours are (x, y) with the
first pixel's centre at (0, 0); boxes have the first pixel's upper-left corner at (0, 0).

Regions are 4-connected and the background therefore 8-connected, which is how marching squares at 0.5 parts
pixels that touch only at a corner: every region has exactly one outer contour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from contourpy import LineType, contour_generator
from scipy import ndimage

from senoscope.schema import BoolArray, Box, FloatArray


def components(mask: BoolArray, min_area: int = 1) -> list[BoolArray]:
    """The 4-connected regions of at least ``min_area`` pixels, bool H×W each, largest first."""
    labels, count = ndimage.label(mask)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    kept = [label for label in range(1, count + 1) if areas[label] >= min_area]
    kept.sort(key=lambda label: -int(areas[label]))  # stable: equal areas stay in reading order
    return [np.asarray(labels == label) for label in kept]


def fill_holes(mask: BoolArray) -> BoolArray:
    """The mask with every background pixel set that no path, diagonal steps included, joins to the border."""
    padded = np.pad(mask, 1)
    # Labelling the background is far quicker than binary_fill_holes, which floods it step by step.
    outside, _ = ndimage.label(~padded, structure=np.ones((3, 3), dtype=np.bool_))
    return np.asarray(outside[1:-1, 1:-1] != outside[0, 0])


def mask_to_contours(mask: BoolArray) -> list[FloatArray]:
    """The outer contour of each region, float32 N×2 (x, y), closed (last point = first), largest first.

    Holes are ignored. ``contour_to_mask`` gives back exactly the region with its holes filled.
    """
    box = mask_to_box(mask)
    if box is None:
        return []
    left, top, width, height = (int(value) for value in box)
    inner = fill_holes(mask[top : top + height, left : left + width])
    padded = np.pad(inner, 1).astype(np.float64)  # a rim of zeros closes contours at the border
    lines = contour_generator(z=padded, line_type=LineType.Separate).lines(0.5)
    origin = np.array([left - 1, top - 1])
    contours = [np.asarray(line + origin, dtype=np.float32) for line in lines]
    return sorted(contours, key=lambda contour: -abs(_signed_area(contour)))


def contour_to_mask(contour: FloatArray, shape: tuple[int, int]) -> BoolArray:
    """Bool H×W: the pixels of ``shape`` whose centres lie inside a closed polygon N×2 (x, y), by even-odd rule.

    The first point need not be repeated. Parts outside the image are cut off.
    """
    height, width = shape
    points = np.asarray(contour, dtype=np.float64)
    if len(points) < 3:
        return np.zeros(shape, dtype=np.bool_)
    start, end = points, np.roll(points, -1, axis=0)
    # An edge crosses row y if its lower end is ≤ y and its upper end > y: a vertex on a row counts once.
    first = np.ceil(np.minimum(start[:, 1], end[:, 1])).clip(0, height).astype(np.intp)
    stop = np.ceil(np.maximum(start[:, 1], end[:, 1])).clip(0, height).astype(np.intp)
    counts = stop - first
    edge = np.repeat(np.arange(len(points)), counts)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    rise = end[edge, 1] - start[edge, 1]
    x = start[edge, 0] + (row - start[edge, 1]) / rise * (end[edge, 0] - start[edge, 0])
    column = np.ceil(x).clip(0, width).astype(np.intp)
    crossings = np.zeros((height, width + 1), dtype=np.int32)
    np.add.at(crossings, (row, column), 1)
    return np.asarray(np.cumsum(crossings[:, :width], axis=1) % 2 == 1)


def contour_area(contour: FloatArray) -> float:
    """Area enclosed by a polygon, in square pixels (shoelace formula).

    A little less than the region's pixel count, because marching squares cuts its corners.
    """
    return abs(_signed_area(contour))


def contour_to_box(contour: FloatArray) -> Box:
    """The upright box around a contour, moved from pixel centres to pixel corners."""
    x0, y0 = (float(value) for value in contour.min(axis=0))
    x1, y1 = (float(value) for value in contour.max(axis=0))
    return Box(x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0)


def mask_to_box(mask: BoolArray) -> Box | None:
    """The smallest box of whole pixels around a mask; ``None`` if the mask is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    top, left = int(rows[0]), int(columns[0])
    return Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def box_to_mask(box: Box, shape: tuple[int, int]) -> BoolArray:
    """Bool H×W: the pixels of ``shape`` whose centres lie inside the box (left and top edges included)."""
    height, width = shape
    mask = np.zeros(shape, dtype=np.bool_)
    top, bottom = _centres(box.y, box.height, height)
    left, right = _centres(box.x, box.width, width)
    mask[top:bottom, left:right] = True
    return mask


def boxes_to_mask(boxes: Sequence[Box], shape: tuple[int, int]) -> BoolArray:
    """Union of several boxes; no boxes make an empty mask."""
    mask = np.zeros(shape, dtype=np.bool_)
    for box in boxes:
        mask |= box_to_mask(box, shape)
    return mask


def _centres(start: float, length: float, size: int) -> tuple[int, int]:
    """First index, and one past the last, of the pixels whose centres (index + ½) lie in the span."""
    first, stop = math.ceil(start - 0.5), math.ceil(start + length - 0.5)
    return min(max(first, 0), size), min(max(stop, 0), size)


def _signed_area(contour: FloatArray) -> float:
    points = np.asarray(contour, dtype=np.float64)
    x, y = points[:, 0], points[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2

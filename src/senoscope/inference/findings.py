"""From the regions of a lesion map, and from boxes, to findings: sizes and descriptors."""

from __future__ import annotations

import numpy as np

from senoscope.imaging.masks import mask_to_box
from senoscope.imaging.regions import Region
from senoscope.inference import shape
from senoscope.schema import Box, Finding, FloatArray

_BAND = 0.18  # of the equivalent radius: how far beside the margin brightness is compared


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

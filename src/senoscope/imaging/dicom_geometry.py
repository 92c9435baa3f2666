"""How large an ultrasound pixel is, and where in the picture the B-mode image lies.

Source: DICOM PS3.3 C.8.5.5 (US Region Calibration), 10.7.1.3 (Pixel Spacing).
"""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

from senoscope.schema import Box

_CENTIMETRES = 3
_TWO_DIMENSIONAL = 1
_TISSUE = 1
_COLOUR_FLOW = 2


def geometry(header: Dataset, notes: list[str]) -> tuple[tuple[float, float] | None, Box | None]:
    """Spacing in mm (row, column) and the B-mode region, each ``None`` where the file is not clear.

    ``notes`` gains what a reader should know. Absent, zero and negative spacing all mean unknown.
    """
    try:
        return _stated_geometry(header, notes)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError):
        notes.append("the file's pixel spacing cannot be read: sizes in pixels only")
        return None, None


def _stated_geometry(header: Dataset, notes: list[str]) -> tuple[tuple[float, float] | None, Box | None]:
    regions = list(header.get("SequenceOfUltrasoundRegions") or ())
    if any(region.get("RegionDataType") == _COLOUR_FLOW for region in regions):
        notes.append("the file marks a colour-flow region")
    tissue = [
        region
        for region in regions
        if region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL and region.get("RegionDataType") == _TISSUE
    ]
    tissue = _foremost(tissue)
    box = _region_box(tissue[0], header) if len(tissue) == 1 else None
    spacings = {_region_spacing(region) for region in tissue}
    if len(spacings) > 1:
        return None, box  # two scales: no single one is true
    stated = list(header.get("PixelSpacing") or ())
    return next(iter(spacings - {None}), _positive(*stated) if len(stated) == 2 else None), box


def _foremost(tissue: list[Dataset]) -> list[Dataset]:
    """The B-mode region that is the picture: the largest, or all that come within a tenth of it (a split screen).

    Scanners also mark small ones: a probe's thumbnail, a navigator, a zoom's overview.
    """
    sizes = [_area(region) for region in tissue]
    return [region for region, size in zip(tissue, sizes, strict=True) if size >= 0.9 * max(sizes)]


def _area(region: Dataset) -> int:
    edges = (("RegionLocationMinX0", "RegionLocationMaxX1"), ("RegionLocationMinY0", "RegionLocationMaxY1"))
    width, height = (int(region.get(last, 0)) - int(region.get(first, 0)) + 1 for first, last in edges)
    return max(width, 0) * max(height, 0)


def _region_spacing(region: Dataset) -> tuple[float, float] | None:
    units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
    if units != (_CENTIMETRES, _CENTIMETRES):
        return None
    found = _positive(region.get("PhysicalDeltaY"), region.get("PhysicalDeltaX"))
    return (found[0] * 10, found[1] * 10) if found else None


def _positive(row: object, column: object) -> tuple[float, float] | None:
    if not isinstance(row, (int, float)) or not isinstance(column, (int, float)):
        return None
    values = (float(row), float(column))
    return values if all(np.isfinite(value) and value > 0 for value in values) else None


def _region_box(region: Dataset, header: Dataset) -> Box | None:
    """Inclusive pixel corners (C.8.5.5.1.2) as a box, or ``None`` if they do not lie in the picture."""
    keys = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
    if any(region.get(key) is None for key in keys):
        return None
    left, top, right, bottom = (int(region.get(key)) for key in keys)
    if not (0 <= left <= right < header.Columns and 0 <= top <= bottom < header.Rows):
        return None
    return Box(left, top, right - left + 1, bottom - top + 1)

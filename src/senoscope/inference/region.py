"""Analysing only the B-mode region that a DICOM file marks, and putting the answer back into the whole picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from senoscope.imaging.raw import RawImage
from senoscope.imaging.regions import Window
from senoscope.schema import BoolArray, Box, Finding, FloatArray, Report

_WHOLE = 0.98


def marked_window(raw: RawImage) -> Window | None:
    """The marked B-mode region, if it leaves out more than a rim: menus, rulers, a patient's data."""
    if raw.region is None:
        return None
    height, width = raw.shape
    left, top = max(round(raw.region.x), 0), max(round(raw.region.y), 0)
    right = min(round(raw.region.x + raw.region.width), width)
    bottom = min(round(raw.region.y + raw.region.height), height)
    area = (bottom - top) * (right - left)
    if right <= left or bottom <= top or area >= _WHOLE * height * width:
        return None
    return slice(top, bottom), slice(left, right)


def cut_out(raw: RawImage, window: Window) -> RawImage:
    """The picture within the window, with everything else the file says."""
    return replace(raw, pixels=raw.pixels[window], region=None)


def put_back(report: Report, window: Window, size: tuple[int, int]) -> Report:
    """A report on the window as a report on the whole picture of ``size`` (width, height)."""
    rows, columns = window
    shape = (size[1], size[0])
    prediction = report.prediction
    if prediction is not None:
        prediction = replace(
            prediction,
            lesion_map=_embedded(prediction.lesion_map, window, shape, 0.0),
            heatmap=_embedded(prediction.heatmap, window, shape, 0.5),
            boxes=None
            if prediction.boxes is None
            else tuple(_moved_box(box, columns.start, rows.start) for box in prediction.boxes),
        )
    told = f"{columns.stop - columns.start}×{rows.stop - rows.start} px"
    told = f"Only the B-mode region that the file marks was analysed ({told})."
    return replace(
        report,
        size=size,
        prediction=prediction,
        findings=tuple(_moved(finding, columns.start, rows.start) for finding in report.findings),
        notes=(*report.notes, told),
    )


def embed(values: FloatArray, window: Window, shape: tuple[int, int], outside: float) -> FloatArray:
    """A map over the window in the whole picture H×W, ``outside`` elsewhere."""
    whole = np.full(shape, outside, dtype=np.float32)
    whole[window] = values
    return whole


def _embedded(
    values: FloatArray | None, window: Window, shape: tuple[int, int], outside: float
) -> FloatArray | None:
    return None if values is None else embed(values, window, shape, outside)


def embed_mask(mask: BoolArray, window: Window, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask over the window in the whole picture H×W."""
    whole = np.zeros(shape, dtype=np.bool_)
    whole[window] = mask
    return whole


def _moved(finding: Finding, x: int, y: int) -> Finding:
    return replace(
        finding,
        contour=finding.contour + np.array([x, y], dtype=np.float32),
        box=_moved_box(finding.box, x, y),
    )


def _moved_box(box: Box, x: int, y: int) -> Box:
    return box._replace(x=box.x + x, y=box.y + y)

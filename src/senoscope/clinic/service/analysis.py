"""One image's bytes through the model: what the service keeps of it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from senoscope.clinic.service.store import Outcome
from senoscope.errors import ImageError
from senoscope.imaging.draw import png_bytes
from senoscope.imaging.raw import Pixels
from senoscope.imaging.read import decode_image
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.inference.scope import text_note
from senoscope.reports.json import report_item
from senoscope.schema import FloatArray, Report

_HEAT_SIDE = 352
"""The evidence is smooth: its picture need not be as large as the image."""


def analyse(data: bytes, number: int, analyzer: Analyzer) -> Outcome:
    """Findings and pictures of one image's bytes. An image that cannot be read is an outcome too (``failed``).

    ``number`` is what messages call it: the name it was uploaded under may be a patient's.
    """
    try:
        raw = decode_image(data, f"image {number}")
    except ImageError as error:
        failed = Report(source=f"image {number}", status="failed", notes=(str(error),))
        return Outcome(report_item(failed))
    analysis = _with_text_note(analyzer.examine(raw))
    prediction = analysis.report.prediction
    doubt = prediction.uncertainty if prediction else None
    certain = doubt is None or doubt < analyzer.bundle.card.uncertainty_limit
    heat = prediction.heatmap if prediction and analysis.report.status == "analysed" else None
    return Outcome(
        item=report_item(analysis.report, certain=certain),
        picture=_png(Image.fromarray(_eight_bit(raw.pixels))),
        heatmap=None if heat is None else png_bytes(_heat(heat)),
    )


def _with_text_note(analysis: Analysis) -> Analysis:
    report = analysis.report
    if analysis.gray is None or report.prediction is None:
        return analysis
    quality = (*report.prediction.quality, *text_note(analysis.gray))
    return replace(analysis, report=replace(report, prediction=replace(report.prediction, quality=quality)))


def _eight_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Pixels as a browser shows them; the whole range of the type is kept, so window and level start neutral."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, dtype=np.uint8)
    white = 65535 if pixels.dtype == np.uint16 else 1
    scaled: NDArray[np.uint8] = np.rint(np.clip(pixels.astype(np.float32) / white, 0, 1) * 255).astype(
        np.uint8
    )
    return scaled


def _png(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.save(stream, "PNG", compress_level=1)  # five megapixels in a tenth of the time, a little larger
    return stream.getvalue()


def _heat(heat: FloatArray) -> Image.Image:
    step = max(1, max(heat.shape) // (2 * _HEAT_SIDE))
    values = np.rint(np.clip(heat[::step, ::step], 0, 1) * 255).astype(np.uint8)
    small = Image.fromarray(np.ascontiguousarray(values))
    small.thumbnail((_HEAT_SIDE, _HEAT_SIDE), Image.Resampling.BILINEAR)
    return small

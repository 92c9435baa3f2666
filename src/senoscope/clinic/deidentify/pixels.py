"""Clean pixels (PS3.15 E.3.1): nothing outside the ultrasound regions, no text inside them.

Text is looked for in every frame by ``imaging.burnt_in`` and, where tesseract is installed, read by it in the first,
middle and last frame. A found line is blackened in all frames: what a scanner writes stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from senoscope.clinic.deidentify import ocr
from senoscope.errors import ImageError
from senoscope.imaging.burnt_in import text_lines
from senoscope.imaging.raw import RawImage, to_gray
from senoscope.schema import BoolArray, FloatArray

Line = tuple[int, int, int, int]
"""A text line's top, bottom, left and right, half-open, in pixels."""
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is to be blackened, bool H×W, and how many text lines stood within what the file marks as image."""

    mask: BoolArray
    lines: int


def plan(frames: Iterable[RawImage], header: Dataset, count: int) -> Cleaning:
    """Look at every frame, one at a time, and say what must go. Raises ``ImageError`` if text cannot be removed."""
    mask = outside_regions(header)
    read = {0, count // 2, count - 1}
    lines: list[Line] = []
    for index, raw in enumerate(frames):
        gray = to_gray(raw)
        gray[mask] = 0
        lines += _blackened(gray, mask, with_ocr=index in read)
    return Cleaning(mask, len(lines))


def outside_regions(header: Dataset) -> BoolArray:
    """Everything but the regions an ultrasound file marks, bool H×W; nothing at all where it marks none."""
    height, width = int(header.Rows), int(header.Columns)
    regions = header.get("SequenceOfUltrasoundRegions") or ()
    mask = np.full((height, width), bool(regions))
    for region in regions:
        edges = [int(region.get(f"RegionLocation{edge}", 0)) for edge in ("MinX0", "MaxX1", "MinY0", "MaxY1")]
        left, right, top, bottom = (max(edge, 0) for edge in edges)
        mask[top : bottom + 1, left : right + 1] = False
    if mask.all():
        mask[:] = False  # the marks mean nothing: the picture is judged as a whole
    return mask


def blacken(pixels: NDArray[np.generic], mask: BoolArray, header: Dataset) -> NDArray[np.generic]:
    """Stored values (H×W, H×W×3, or either with frames first) with the darkest value wherever ``mask`` is true."""
    made = np.array(pixels)
    several = int(header.get("NumberOfFrames") or 1) > 1
    made[(slice(None), mask) if several else mask] = _darkest(header)
    return made


def _blackened(gray: FloatArray, mask: BoolArray, *, with_ocr: bool) -> list[Line]:
    """Text lines found in ``gray``; they are blackened in it and marked in ``mask``, until none is left."""
    found: list[Line] = []
    for turn in range(_ROUNDS):
        lines: Sequence[Line] = [*text_lines(gray), *text_lines(np.float32(1) - gray)]  # light text, and dark
        if with_ocr and turn == 0:
            lines = [
                *lines,
                *(box for box in ocr.words(gray) if not mask[box[0] : box[1], box[2] : box[3]].all()),
            ]
        if not lines:
            return found
        for top, bottom, left, right in lines:
            gray[top:bottom, left:right] = 0
            mask[top:bottom, left:right] = True
        found += lines
    raise ImageError(
        "text in the picture could not be removed",
        expected="text lines that can be told from tissue",
        fix="crop it",
    )


def _darkest(header: Dataset) -> int:
    """The stored value that shows as black."""
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if header.PhotometricInterpretation == "MONOCHROME1":
        return high
    if header.PhotometricInterpretation == "PALETTE COLOR":
        return _darkest_index(header)
    return low


def _darkest_index(header: Dataset) -> int:
    count, first = (int(value) for value in header.RedPaletteColorLookupTableDescriptor[:2])
    count = count or 65536
    total = np.zeros(count)
    for colour in ("Red", "Green", "Blue"):
        data = header[f"{colour}PaletteColorLookupTableData"].value
        kind = "<u2" if len(data) >= 2 * count else "u1"
        total += np.frombuffer(data, kind)[:count]
    return int(first + total.argmin())

"""From DICOM stored values to brightness: modality, value-of-interest and palette transforms.

Written out rather than taken from pydicom, whose table look-ups keep indices in the table's own type (a
12-bit image through an 8-bit table wraps around) and whose windows turn a negative slope upside down.
Source: DICOM PS3.3 C.11.1 (modality), C.11.2 (VOI), C.7.6.3.1.5-6 (palette).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

from senoscope.errors import ImageError
from senoscope.imaging.raw import Pixels
from senoscope.schema import FloatArray

COLOURS = ("Red", "Green", "Blue")
_Values = NDArray[np.float64]


def brightness(stored: NDArray[np.generic], image: Dataset, source: str, notes: list[str]) -> Pixels:
    """Grey stored values as shown: uint8 if they need no transform, else float32 0..1. Bright is high."""
    inverted = (
        image.PhotometricInterpretation == "MONOCHROME1" or image.get("PresentationLUTShape") == "INVERSE"
    )
    if inverted:
        notes.append("stored with white as zero: inverted")
    if _is_plain(image):
        plain = np.asarray(stored, dtype=np.uint8)
        return np.uint8(255) - plain if inverted else plain
    values, low, high = _modality(stored, image, source)
    shown = _value_of_interest(values, low, high, image, source, notes)
    return np.float32(1) - shown if inverted else shown


def coloured(stored: NDArray[np.generic], image: Dataset, source: str) -> Pixels:
    """Palette indices as RGB, H×W×3 of uint8 or uint16; an index past the table takes its last entry."""
    channels = []
    for name in COLOURS:
        descriptor = image.get(f"{name}PaletteColorLookupTableDescriptor")
        data = image.get(f"{name}PaletteColorLookupTableData")
        if descriptor is None or data is None:
            raise _unreadable(source, "its palette is missing or segmented")
        table, first = _table(descriptor, data, image, source)
        channels.append(_look_up(stored, table, first))
    rgb = np.stack(channels, axis=-1)
    # Many scanners declare 16 bits per entry and use eight; DCMTK and others read such palettes as 8-bit too.
    narrow = int(image.RedPaletteColorLookupTableDescriptor[2]) == 8 or rgb.max() <= 255
    return rgb.astype(np.uint8) if narrow else rgb.astype(np.uint16)


def _is_plain(image: Dataset) -> bool:
    """Eight unsigned bits and nothing to apply."""
    transforms = ("ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth")
    if any(image.get(name) not in (None, "") for name in transforms):
        return False
    return _rescale(image) == (1, 0) and image.BitsStored == 8 and image.PixelRepresentation == 0


def _rescale(image: Dataset) -> tuple[float, float]:
    slope, intercept = _first(image.get("RescaleSlope")), _first(image.get("RescaleIntercept"))
    return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)


def _modality(stored: NDArray[np.generic], image: Dataset, source: str) -> tuple[_Values, float, float]:
    """Modality values with the lowest and highest that the file's type allows."""
    sequence = image.get("ModalityLUTSequence")
    if sequence:
        table, first = _table(sequence[0].LUTDescriptor, sequence[0].LUTData, image, source)
        values = _look_up(stored, table, first).astype(np.float64)
        return values, 0.0, float(2 ** int(sequence[0].LUTDescriptor[2]) - 1)
    bits = int(image.BitsStored)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if image.PixelRepresentation else (0, 2**bits - 1)
    slope, intercept = _rescale(image)
    if slope == 0 or not (np.isfinite(slope) and np.isfinite(intercept)):
        raise _unreadable(source, "its rescale slope or intercept has no meaning")
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return np.asarray(stored, dtype=np.float64) * slope + intercept, ends[0], ends[1]


def _value_of_interest(
    values: _Values, low: float, high: float, image: Dataset, source: str, notes: list[str]
) -> FloatArray:
    """Brightness 0..1 after the first VOI table or window, or over the whole range if there is none."""
    sequence = image.get("VOILUTSequence")
    if sequence:
        table, first = _table(sequence[0].LUTDescriptor, sequence[0].LUTData, image, source)
        notes.append("shown through the file's VOI table")
        top = 2 ** int(sequence[0].LUTDescriptor[2]) - 1
        shown: _Values = _look_up(np.rint(values), table, first) / top
        return np.minimum(shown, 1).astype(np.float32)
    centre, width = _first(image.get("WindowCenter")), _first(image.get("WindowWidth"))
    if centre is None or width is None:
        return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    function = str(image.get("VOILUTFunction") or "LINEAR").upper()
    notes.append(f"shown through the file's window (centre {centre:g}, width {width:g})")
    return window(values, centre, width, function, source).astype(np.float32)


def window(values: _Values, centre: float, width: float, function: str, source: str) -> _Values:
    """PS3.3 C.11.2.1.2-3 onto 0..1; raises ``ImageError`` for a width or function that has no meaning."""
    if not (np.isfinite(centre) and np.isfinite(width)) or width < (1 if function == "LINEAR" else 1e-12):
        raise _unreadable(source, "its display window has no width")
    if function == "LINEAR":
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        return ((values - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1)
    if function == "LINEAR_EXACT":
        return ((values - centre) / width + 0.5).clip(0, 1)
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    raise _unreadable(source, "its display function is unknown")


def _first(value: Any) -> float | None:
    """A decimal attribute's value, the first of several (as viewers open a file), ``None`` if it is empty."""
    if value is None or value == "":
        return None
    return float(value[0]) if isinstance(value, MultiValue) else float(value)


def _table(descriptor: Any, data: Any, image: Dataset, source: str) -> tuple[NDArray[np.uint16], int]:
    """A look-up table's entries and the stored value of the first."""
    count, first, bits = (int(item) for item in descriptor)
    count = count % 65536 or 65536
    if isinstance(data, bytes):
        order = ">" if image.original_encoding[1] is False else "<"
        table = np.frombuffer(data, dtype=f"{order}u2" if len(data) >= 2 * count else "u1")
    else:
        table = np.asarray(data, dtype=np.int64)
    if not 8 <= bits <= 16 or table.size < count:
        raise _unreadable(source, "one of its look-up tables is cut short")
    return table[:count].astype(np.uint16), first


def _look_up(stored: NDArray[np.generic], table: NDArray[np.uint16], first: int) -> NDArray[np.uint16]:
    index = np.asarray(stored, dtype=np.int64) - first
    return table[np.clip(index, 0, table.size - 1)]


def _unreadable(source: str, why: str) -> ImageError:
    return ImageError(
        f"{source} cannot be shown: {why}", expected="values the file itself explains", fix="export it again"
    )

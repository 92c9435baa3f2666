"""DICOM stills, read one attribute at a time.

Only the attributes named here are parsed, so nothing about a patient is ever in memory, in a message or in a
log. Sources: DICOM PS3.3 C.7.6.3 (image pixel).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from senoscope.errors import ImageError, SenoscopeError
from senoscope.imaging.dicom_checks import (
    check_bits,
    check_kind,
    check_present,
    check_shape,
    check_stream,
    number,
    transfer_syntax,
)
from senoscope.imaging.dicom_geometry import geometry
from senoscope.imaging.dicom_values import COLOURS, brightness, coloured
from senoscope.imaging.dicom_view import laterality, view
from senoscope.imaging.formats import check_preamble, damaged
from senoscope.imaging.raw import Limits, Pixels, RawImage

PIXEL_MODULE: list[str] = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    *(f"{colour}PaletteColorLookupTable{part}" for colour in COLOURS for part in ("Descriptor", "Data")),
]
CONTEXT: list[str] = [
    "SOPClassUID",
    "Modality",
    "BurnedInAnnotation",
    "PixelSpacing",
    "SequenceOfUltrasoundRegions",
    "PresentationIntentType",
    "ImageLaterality",
    "Laterality",
    "ViewPosition",
    "ViewCodeSequence",
]

# pydicom warns and logs odd values by quoting them, and a damaged length can make any value the patient's. The
# switch is one for the process, so only one thread at a time may turn it off and back on.
QUIET = Lock()
"""Held by whoever turns pydicom's own checks off."""

_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom hands all of them over as RGB


def decode_dicom(data: bytes, source: str, limits: Limits) -> RawImage:
    """A single-frame DICOM image, as the file says it should be shown: light is high, colour is RGB.

    Raises ``ImageError`` for anything damaged, oversized, multi-frame, of another kind, or in a compression
    that is not installed. Messages never quote the file.
    """
    check_preamble(data, source)
    with guarded(source):
        syntax = transfer_syntax(data, source, limits)
        header = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=[*PIXEL_MODULE, *CONTEXT])
        check_header(header, source, limits)
        full = dcmread(BytesIO(data), specific_tags=[*PIXEL_MODULE, "PixelData"])
        check_present(full, source)
        return shown(header, full, syntax, source)


@contextmanager
def guarded(source: str) -> Iterator[None]:
    """pydicom kept quiet, and whatever it raises turned into an error that quotes nothing."""
    try:
        with QUIET, disable_value_validation():
            yield
    except (SenoscopeError, OSError):
        raise
    except Exception:  # hostile bytes make parsers raise anything; their messages quote values: not chained
        raise damaged(source, "its DICOM structure or pixel data cannot be read") from None


def check_header(header: Dataset, source: str, limits: Limits, *, cine: bool = False) -> None:
    """Every check that needs no pixels."""
    check_kind(header, source)
    check_shape(header, source, limits, cine=cine)
    check_bits(header, source)


def shown(header: Dataset, full: Dataset, syntax: UID, source: str) -> RawImage:
    """One frame's pixels with what the header says of them."""
    if syntax.is_compressed and not syntax.is_deflated:
        check_stream(full, source)
    notes: list[str] = []
    pixels = _pixels(full, source, notes)
    spacing, region = geometry(header, notes)
    if header.get("BurnedInAnnotation") == "YES":
        notes.append("the file says that text is burnt into the picture")
    modality = header.get("Modality")
    return RawImage(
        pixels=pixels,
        spacing=spacing,
        modality=str(modality) if modality else None,
        notes=tuple(notes),
        source=source,
        region=region,
        laterality=laterality(header),
        view=view(header),
    )


def _pixels(full: Dataset, source: str, notes: list[str]) -> Pixels:
    photometric = str(full.get("PhotometricInterpretation", ""))
    samples = number(full, "SamplesPerPixel", 1)
    if photometric in ("MONOCHROME1", "MONOCHROME2") and samples == 1:
        return brightness(_decoded(full, source), full, source, notes)
    if photometric == "PALETTE COLOR" and samples == 1:
        return coloured(_decoded(full, source), full, source)
    whole = full.BitsStored in (8, 16) and not full.PixelRepresentation
    if photometric in _COLOUR and samples == 3 and whole:
        shown = _decoded(full, source)
        return shown.astype(np.uint8) if full.BitsStored == 8 else shown.astype(np.uint16)
    raise ImageError(
        f"{source} holds pixels of a kind that is not read here",
        expected="MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB or YBR_FULL in 8 or 16 bits",
        fix="export it as an uncompressed grey or RGB image",
    )


def _decoded(full: Dataset, source: str) -> NDArray[np.generic]:
    try:
        return pixel_array(full)
    except Exception:  # as in decode_dicom: anything may come, quoting anything
        raise ImageError(
            f"{source} holds pixel data that cannot be decoded here",
            expected="whole pixel data, uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000",
            fix="export it again, or decompress it first, for example with 'dcmdjpeg' or 'gdcmconv --raw'",
        ) from None

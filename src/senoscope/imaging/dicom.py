"""DICOM stills, read one attribute at a time.

Only the attributes named here are parsed, so nothing about a patient is ever in memory, in a message or in a
log. Sources: DICOM PS3.3 C.7.6.3 (image pixel), PS3.5 section 8.2 (compressed pixels).
"""

from __future__ import annotations

import zlib
from io import BytesIO
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from senoscope.errors import ImageError, SenoscopeError
from senoscope.imaging import jpeg
from senoscope.imaging.dicom_geometry import geometry
from senoscope.imaging.dicom_values import COLOURS, brightness, coloured
from senoscope.imaging.formats import check_preamble, damaged
from senoscope.imaging.raw import Limits, Pixels, RawImage

_PIXEL_MODULE: list[str] = [
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
_CONTEXT: list[str] = [
    "SOPClassUID",
    "Modality",
    "BurnedInAnnotation",
    "PixelSpacing",
    "SequenceOfUltrasoundRegions",
]

_KINDS = (
    "1.2.840.10008.5.1.4.1.1.6",  # ultrasound, current (.6.1) and retired (.6)
    "1.2.840.10008.5.1.4.1.1.3",  # ultrasound multi-frame, refused later unless it holds one frame
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture
    "1.2.840.10008.5.1.4.1.1.1",  # computed and digital radiography, mammography
    "1.2.840.10008.5.1.4.1.1.77.1",  # visible light
)
_STILLS = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2")  # MR and CT, exact

# pydicom warns and logs odd values by quoting them, and a damaged length can make any value the patient's. The
# switch is one for the process, so only one thread at a time may turn it off and back on.
_QUIET = Lock()

_UNDEFINED_LENGTH = 0xFFFFFFFF  # compressed pixel data ends with a delimiter instead

_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom hands all of them over as RGB


def decode_dicom(data: bytes, source: str, limits: Limits) -> RawImage:
    """A single-frame DICOM image, as the file says it should be shown: light is high, colour is RGB.

    Raises ``ImageError`` for anything damaged, oversized, multi-frame, of another kind, or in a compression
    that is not installed. Messages never quote the file.
    """
    check_preamble(data, source)
    try:
        with _QUIET, disable_value_validation():
            return _decode(data, source, limits)
    except SenoscopeError:
        raise
    except Exception:  # hostile bytes make parsers raise anything; their messages quote values: not chained
        raise damaged(source, "its DICOM structure or pixel data cannot be read") from None


def _decode(data: bytes, source: str, limits: Limits) -> RawImage:
    syntax = _syntax(data, source, limits)
    header = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=[*_PIXEL_MODULE, *_CONTEXT])
    _check_kind(header, source)
    _check_shape(header, source, limits)
    _check_bits(header, source)
    full = dcmread(BytesIO(data), specific_tags=[*_PIXEL_MODULE, "PixelData"])
    _check_present(full, source)
    if syntax.is_compressed and not syntax.is_deflated:
        _check_stream(full, source)
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
    )


def _syntax(data: bytes, source: str, limits: Limits) -> UID:
    """The transfer syntax, if it can be decoded here; a deflated file is measured before it is unpacked."""
    if data[132:138] != b"\x02\x00\x00\x00UL":
        raise damaged(source, "its header does not say how long it is")
    start = 144 + int.from_bytes(data[140:144], "little")
    syntax = dcmread(BytesIO(data[:start])).file_meta.get("TransferSyntaxUID")
    if not isinstance(syntax, UID):
        raise damaged(source, "it does not say its transfer syntax")
    try:
        usable = get_decoder(syntax).is_available
    except NotImplementedError:
        usable = False
    if not usable:
        name = syntax.name if syntax.type == "Transfer Syntax" else "unknown transfer syntax"
        raise ImageError(
            f"{source} is stored in a way that cannot be decoded here ({name})",
            expected="uncompressed, RLE, JPEG Baseline or JPEG 2000 pixel data",
            fix="decompress it first, for example with 'dcmdjpeg' or 'gdcmconv --raw'",
        )
    if syntax == DeflatedExplicitVRLittleEndian:
        _check_inflated(data[start:], source, limits)
    return syntax


def _check_inflated(rest: bytes, source: str, limits: Limits) -> None:
    """Unpack piece by piece, keeping nothing, until the end or the limit."""
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while rest and not inflater.eof:
        size += len(inflater.decompress(rest, 1 << 20))
        rest = inflater.unconsumed_tail
        if size > limits.max_bytes:
            raise ImageError(
                f"{source} unpacks to more than {limits.max_bytes / 1024**2:.0f} MB",
                expected="a single still image",
                fix="treat the file as hostile; fetch the image again from the archive",
            )
    if not inflater.eof:
        raise damaged(source, "its end is missing")


def _check_kind(header: Dataset, source: str) -> None:
    uid = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", ""))
    if not (uid in _STILLS or any(uid == kind or uid.startswith(kind + ".") for kind in _KINDS)):
        name = UID(uid).name if UID(uid).type else "unknown kind"  # registered names only, never the value
        raise ImageError(
            f"{source} is a DICOM object, but no image of a kind that is read here ({name})",
            expected="an ultrasound, mammography, MR or secondary-capture image",
            fix="export the image itself rather than the report, segmentation or presentation state",
        )


def _number(header: Dataset, keyword: str, default: int | None = None) -> int:
    value = header.get(keyword)
    if value is None and default is not None:
        return default
    return int(value)


def _check_shape(header: Dataset, source: str, limits: Limits) -> None:
    if header.get("Rows") is None or header.get("Columns") is None:
        raise damaged(source, "it does not say how large its picture is")
    limits.check_size(_number(header, "Columns"), _number(header, "Rows"), source)
    limits.check_frames(_number(header, "NumberOfFrames", 1), source)


def _check_bits(header: Dataset, source: str) -> None:
    allocated, stored = _number(header, "BitsAllocated"), _number(header, "BitsStored")
    samples = _number(header, "SamplesPerPixel", 1)
    high = _number(header, "HighBit", stored - 1)
    sound = allocated in (8, 16) and 1 <= stored <= allocated and high == stored - 1 and samples in (1, 3)
    if not sound:
        raise ImageError(
            f"{source} stores {samples} samples of {stored} bits (highest bit {high}) in {allocated} bits",
            expected="1 or 3 samples of up to 8 bits in 8, or up to 16 in 16, the lowest bits used",
            fix="export the image again; its header is damaged or of a rare kind",
        )


def _check_present(full: Dataset, source: str) -> None:
    """Refuse pixel data that is absent or claims more bytes than the file has (pydicom takes what is there)."""
    if "PixelData" not in full:
        raise damaged(source, "it has no pixel data")
    stored = full.get_item("PixelData")
    claimed = getattr(stored, "length", _UNDEFINED_LENGTH)
    if claimed not in (_UNDEFINED_LENGTH, len(full.PixelData)):
        raise damaged(source, "its pixel data is shorter than it says")


def _check_stream(full: Dataset, source: str) -> None:
    """Refuse an embedded JPEG or JPEG 2000 picture that is cut, garbage, or of another size than promised."""
    frame = get_frame(full.PixelData, 0, number_of_frames=1)
    if full.file_meta.TransferSyntaxUID == RLELossless:
        # RLE says no size and can only grow by 1/128: a longer one would unpack to more than was promised.
        if len(frame) > 1.1 * full.Rows * full.Columns * full.SamplesPerPixel * full.BitsAllocated / 8 + 4096:
            raise damaged(source, "its compressed pixel data is longer than the picture")
        return
    is_jpeg = frame.startswith(b"\xff\xd8")
    size = _jpeg_size(frame) if is_jpeg else _jpeg2000_size(frame)
    if size is None:
        raise damaged(source, "its compressed pixel data is not a picture")
    if size != (full.Columns, full.Rows):
        raise ImageError(
            f"{source} promises {full.Columns}×{full.Rows} pixels and embeds {size[0]}×{size[1]}",
            expected="the same size in header and pixel data",
            fix="export the image again from the device or archive",
        )
    if is_jpeg and (jpeg.missing(frame) or jpeg.is_filled(frame)):
        raise damaged(source, "its embedded JPEG ends early")


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    found = jpeg.outline(frame)
    return (found.width, found.height) if found else None


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height from a codestream's SIZ segment (ITU-T T.800, A.5.1)."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 200)  # after the JP2 boxes that some writers leave in place
    if start < 0 or len(frame) < start + 24:
        return None
    right, bottom, left, top = (
        int.from_bytes(frame[start + 8 + 4 * index : start + 12 + 4 * index], "big") for index in range(4)
    )
    return right - left, bottom - top


def _pixels(full: Dataset, source: str, notes: list[str]) -> Pixels:
    photometric = str(full.get("PhotometricInterpretation", ""))
    samples = _number(full, "SamplesPerPixel", 1)
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
            expected="whole pixel data, uncompressed, RLE, 8-bit JPEG or JPEG 2000",
            fix="export it again, or decompress it first, for example with 'dcmdjpeg' or 'gdcmconv --raw'",
        ) from None

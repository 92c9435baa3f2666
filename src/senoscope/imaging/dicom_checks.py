"""What is refused before a DICOM picture is decoded: by its kind, transfer syntax, size, bits and pixel stream.

Sources: DICOM PS3.3 C.7.6.3 (image pixel), PS3.5 section 8.2 (compressed pixels), PS3.4 B.5 (kinds of object).
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGExtended12Bit, RLELossless

from senoscope.errors import ImageError
from senoscope.imaging import jpeg, jpeg12
from senoscope.imaging.formats import check_preamble, damaged
from senoscope.imaging.raw import Limits


class OtherKindError(ImageError):
    """A sound DICOM object of a kind that is not read here: a report, a directory, a CT volume."""


_KINDS = (
    "1.2.840.10008.5.1.4.1.1.6",  # ultrasound, current (.6.1) and retired (.6)
    "1.2.840.10008.5.1.4.1.1.3",  # ultrasound multi-frame, refused later unless it holds one frame
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture
    "1.2.840.10008.5.1.4.1.1.1",  # computed and digital radiography, mammography
    "1.2.840.10008.5.1.4.1.1.77.1",  # visible light
)
_STILLS = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2")  # MR and CT, exact

UNDEFINED_LENGTH = 0xFFFFFFFF
"""Stated of compressed pixel data, which ends with a delimiter instead."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_RAW = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.1.1",  # digital radiography - for processing
        "1.2.840.10008.5.1.4.1.1.1.2.1",  # mammography - for processing
        "1.2.840.10008.5.1.4.1.1.1.3.1",  # intra-oral - for processing
    }
)


def can_decode(syntax: UID) -> bool:
    """Whether pixel data of a transfer syntax can be decoded with what is installed."""
    if syntax == JPEGExtended12Bit:
        jpeg12.register()
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:  # pydicom's word for a syntax that it has no decoder for
        return False


def transfer_syntax(data: bytes, source: str, limits: Limits) -> UID:
    """The transfer syntax, if it can be decoded here; a deflated file is measured before it is unpacked."""
    if data[132:138] != b"\x02\x00\x00\x00UL":
        raise damaged(source, "its header does not say how long it is")
    start = 144 + int.from_bytes(data[140:144], "little")
    syntax = dcmread(BytesIO(data[:start])).file_meta.get("TransferSyntaxUID")
    if not isinstance(syntax, UID):
        raise damaged(source, "it does not say its transfer syntax")
    if not can_decode(syntax):
        name = syntax.name if syntax.type == "Transfer Syntax" else "unknown transfer syntax"
        raise ImageError(
            f"{source} is stored in a way that cannot be decoded here ({name})",
            expected="uncompressed, RLE, JPEG, JPEG Lossless, JPEG-LS or JPEG 2000 pixel data",
            fix="install the clinic extra, which decodes more, or decompress the file first ('gdcmconv --raw')",
        )
    if syntax == DeflatedExplicitVRLittleEndian:
        _check_inflated(data[start:], source, limits)
    return syntax


def file_syntax(stream: BinaryIO, source: str, limits: Limits) -> UID:
    """``transfer_syntax`` of an open file, read no further than need be; leaves the stream at its start.

    To be called before anything else reads the file: a deflated one is otherwise unpacked whole, however large.
    """
    start = stream.read(4096)
    if start[128:132] != b"DICM":
        raise damaged(source, "it lacks the DICM mark")
    check_preamble(start, source)
    meta = 144 + int.from_bytes(start[140:144], "little")
    stream.seek(0)
    deflated = _DEFLATED in start[:meta]
    if deflated and stream_size(stream) > limits.max_bytes:
        raise damaged(source, "it is deflated and too large to unpack")
    syntax = transfer_syntax(stream.read() if deflated else stream.read(min(meta, 1 << 20)), source, limits)
    if syntax.is_deflated and not deflated:
        raise damaged(source, "its header is too long")
    stream.seek(0)
    return syntax


def stream_size(stream: BinaryIO) -> int:
    """Bytes of an open file; the position stays."""
    here = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(here)
    return size


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


def check_kind(header: Dataset, source: str) -> None:
    """Refuse objects that are no image, or of a kind that is not read here."""
    uid = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", ""))
    if not uid:
        raise damaged(source, "it does not say what kind of object it is")
    if uid in _RAW or header.get("PresentationIntentType") == "FOR PROCESSING":
        raise ImageError(
            f"{source} holds raw detector values (FOR PROCESSING), not the picture a reader sees",
            expected="the FOR PRESENTATION image of the same exposure",
            fix="send the FOR PRESENTATION series; have the modality store it if it does not",
        )
    if not (uid in _STILLS or any(uid == kind or uid.startswith(kind + ".") for kind in _KINDS)):
        name = UID(uid).name if UID(uid).type else "unknown kind"  # registered names only, never the value
        raise OtherKindError(
            f"{source} is a DICOM object, but no image of a kind that is read here ({name})",
            expected="an ultrasound, mammography, MR or secondary-capture image",
            fix="export the image itself rather than the report, segmentation or presentation state",
        )


def number(header: Dataset, keyword: str, default: int | None = None) -> int:
    """A whole-number attribute; ``default`` where it is absent."""
    value = header.get(keyword)
    if value is None and default is not None:
        return default
    return int(value)


def check_shape(header: Dataset, source: str, limits: Limits, *, cine: bool = False) -> None:
    """Refuse a picture without or beyond size, or with more frames than a still (or a ``cine``) may have."""
    if header.get("Rows") is None or header.get("Columns") is None:
        raise damaged(source, "it does not say how large its picture is")
    limits.check_size(number(header, "Columns"), number(header, "Rows"), source)
    if not cine:
        limits.check_frames(number(header, "NumberOfFrames", 1), source)
    else:
        limits.check_cine(number(header, "NumberOfFrames", 1), source)


def check_bits(header: Dataset, source: str) -> None:
    """Refuse samples that do not fit their own description."""
    allocated, stored = number(header, "BitsAllocated"), number(header, "BitsStored")
    samples = number(header, "SamplesPerPixel", 1)
    high = number(header, "HighBit", stored - 1)
    sound = allocated in (8, 16) and 1 <= stored <= allocated and high == stored - 1 and samples in (1, 3)
    if not sound:
        raise ImageError(
            f"{source} stores {samples} samples of {stored} bits (highest bit {high}) in {allocated} bits",
            expected="1 or 3 samples of up to 8 bits in 8, or up to 16 in 16, the lowest bits used",
            fix="export the image again; its header is damaged or of a rare kind",
        )


def check_present(full: Dataset, source: str) -> None:
    """Refuse pixel data that is absent or claims more bytes than the file has (pydicom takes what is there)."""
    if "PixelData" not in full:
        raise damaged(source, "it has no pixel data")
    stored = full.get_item("PixelData")
    claimed = getattr(stored, "length", UNDEFINED_LENGTH)
    if claimed not in (UNDEFINED_LENGTH, len(full.PixelData)):
        raise damaged(source, "its pixel data is shorter than it says")


def check_stream(full: Dataset, source: str) -> None:
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

"""Cine loops: DICOM frames read from disk one at a time.

Each frame becomes a still and passes through the same checks and the same decoder as any other still.
Sources: DICOM PS3.3 C.7.6.5 (cine), PS3.5 7.1 (data elements), A.4 (frames of compressed pixel data).
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID

from senoscope.imaging.dicom import CONTEXT, PIXEL_MODULE, check_header, guarded, shown
from senoscope.imaging.dicom_checks import UNDEFINED_LENGTH, check_present, file_syntax, number, stream_size
from senoscope.imaging.formats import damaged
from senoscope.imaging.raw import Limits, RawImage


def decode_frames(path: Path, limits: Limits) -> Iterator[RawImage]:
    """The frames of a DICOM file one after another, each as ``decode_dicom`` would give it alone.

    Pixels are read from disk as they are asked for, so memory holds one frame, however long the loop (a deflated
    file is unpacked whole, within ``limits.max_bytes``). Raises ``ImageError`` as ``decode_dicom`` does, at the
    frame that is damaged.
    """
    source = path.name
    with path.open("rb") as stream:
        with guarded(source):
            header, syntax, start = _open_cine(stream, source, limits)
            frames = _stored_frames(start, header, syntax, source)
        count = number(header, "NumberOfFrames", 1)
        for index in range(1, count + 1):
            with guarded(source):
                frame = next(frames, None)
                if frame is None:
                    raise damaged(source, f"it promises {count} frames and holds {index - 1}")
                image = shown(header, _alone(header, frame, syntax), syntax, source)
            yield image


def _open_cine(stream: BinaryIO, source: str, limits: Limits) -> tuple[Dataset, UID, BinaryIO]:
    """A checked header, its syntax, and a stream that stands at the pixel data element."""
    syntax = file_syntax(stream, source, limits)
    header = dcmread(stream, stop_before_pixels=True, specific_tags=[*PIXEL_MODULE, *CONTEXT])
    check_header(header, source, limits, cine=True)
    if syntax.is_deflated:
        stream.seek(0)
        full = dcmread(stream, specific_tags=[*PIXEL_MODULE, "PixelData"])
        check_present(full, source)
        return header, syntax, BytesIO(full.PixelData)
    return header, syntax, stream


def _stored_frames(stream: BinaryIO, header: Dataset, syntax: UID, source: str) -> Iterator[bytes]:
    """Each frame as it is stored, read when it is asked for. Uncompressed pixel data must be there in full."""
    count = number(header, "NumberOfFrames", 1)
    if syntax.is_deflated:
        return _native(stream, count, _frame_bytes(header))
    length = _enter_pixel_data(stream, header, syntax, source)
    if syntax.is_compressed:
        if length != UNDEFINED_LENGTH:
            raise damaged(source, "its compressed pixel data has a length")
        return generate_frames(stream, number_of_frames=count)
    size = _frame_bytes(header)
    if length < count * size or stream_size(stream) - stream.tell() < count * size:
        raise damaged(source, "its pixel data is shorter than it says")
    return _native(stream, count, size)


def _enter_pixel_data(stream: BinaryIO, header: Dataset, syntax: UID, source: str) -> int:
    """Step over the pixel data element's own header (PS3.5 7.1) and return the length that it states."""
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    head = stream.read(8 if syntax.is_implicit_VR else 12)
    tag = (int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order))
    if tag != (0x7FE0, 0x0010) or len(head) < 8:
        raise damaged(source, "it has no pixel data")
    return int.from_bytes(head[-4:], order)


def _frame_bytes(header: Dataset) -> int:
    samples, pixels = number(header, "SamplesPerPixel", 1), header.Rows * header.Columns
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2  # one pair of colour values for two pixels (PS3.3 C.7.6.3.1.2)
    return int(pixels * samples * header.BitsAllocated // 8)


def _native(stream: BinaryIO, count: int, size: int) -> Iterator[bytes]:
    for _ in range(count):
        frame = stream.read(size)
        if len(frame) < size:
            return
        yield frame


def _alone(header: Dataset, frame: bytes, syntax: UID) -> Dataset:
    """One stored frame as a still of its own."""
    still = Dataset()
    for keyword in PIXEL_MODULE:
        if keyword in header and keyword != "NumberOfFrames":
            still[keyword] = header[keyword]
    still.file_meta = header.file_meta
    compressed = syntax.is_compressed and not syntax.is_deflated
    still.PixelData = encapsulate([frame]) if compressed else frame + b"\0" * (len(frame) % 2)
    still["PixelData"].VR = "OB" if compressed or header.BitsAllocated == 8 else "OW"
    still["PixelData"].is_undefined_length = compressed
    still.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    return still

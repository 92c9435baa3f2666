"""Cine loops: DICOM frames read from disk one at a time.

Each frame becomes a still and passes through the same checks and the same decoder as any other still.
Sources: DICOM PS3.3 C.7.6.5 (cine), PS3.5 7.1 (data elements), A.4 (frames of compressed pixel data).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_fragmented_frames, parse_basic_offsets, parse_fragments
from pydicom.uid import UID

from senoscope.imaging.dicom import CONTEXT, PIXEL_MODULE, check_header, guarded, shown
from senoscope.imaging.dicom_checks import UNDEFINED_LENGTH, check_present, file_syntax, number, stream_size
from senoscope.imaging.formats import damaged
from senoscope.imaging.raw import Limits, RawImage

_RATE: list[str] = ["RecommendedDisplayFrameRate", "CineRate", "FrameTime", "FrameTimeVector"]
_FASTEST = 200.0
_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Loop:
    """Where the frames of a DICOM file are; a still is a loop of one. Each is read from disk when it is asked for.

    ``count`` is how many frames the file promises and ``rate`` how many of them a second it asks to be shown, ``None``
    where it does not say.
    """

    path: Path
    source: str
    count: int
    rate: float | None
    _header: Dataset
    _syntax: UID
    _places: Sequence[Sequence[_Span]]
    _unpacked: bytes | None = None

    @property
    def in_memory(self) -> bool:
        """Whether this holds the pixels themselves, as of a deflated file it must."""
        return self._unpacked is not None

    def frame(self, index: int) -> RawImage:
        """A frame, counted from 1, as ``decode_dicom`` would give it alone.

        Raises ``ImageError`` for one that is missing or damaged; others may well be whole.
        """
        with guarded(self.source):
            if not 1 <= index <= len(self._places):
                held = f"it promises {self.count} frames and holds {len(self._places)}"
                raise damaged(self.source, held)
            stored = self._stored(self._places[index - 1])
            return shown(self._header, _alone(self._header, stored, self._syntax), self._syntax, self.source)

    def _stored(self, spans: Sequence[_Span]) -> bytes:
        with self.path.open("rb") if self._unpacked is None else BytesIO(self._unpacked) as stream:
            pieces = []
            for start, length in spans:
                stream.seek(start)
                pieces.append(stream.read(length))
        return b"".join(pieces)


def open_loop(path: Path, limits: Limits, source: str | None = None) -> Loop:
    """Check a DICOM file's header and find its frames; ``source`` is what errors call the file.

    Pixels are not decoded yet (a deflated file is unpacked whole, within ``limits.max_bytes``). Raises ``ImageError``
    as ``decode_dicom`` does, and for more frames than ``limits.max_cine``.
    """
    name = source or path.name
    with path.open("rb") as stream, guarded(name):
        syntax = file_syntax(stream, name, limits)
        header = dcmread(stream, stop_before_pixels=True, specific_tags=[*PIXEL_MODULE, *CONTEXT, *_RATE])
        check_header(header, name, limits, cine=True)
        count = number(header, "NumberOfFrames", 1)
        unpacked = None
        if syntax.is_deflated:
            stream.seek(0)
            full = dcmread(stream, specific_tags=[*PIXEL_MODULE, "PixelData"])
            check_present(full, name)
            unpacked = bytes(full.PixelData)
            places = _native(0, len(unpacked), count, _frame_bytes(header), name)
        else:
            places = _places(stream, header, syntax, count, name)
        return Loop(path, name, count, _rate(header), header, syntax, places, unpacked)


def decode_frames(path: Path, limits: Limits) -> Iterator[RawImage]:
    """The frames of a DICOM file one after another, each as ``decode_dicom`` would give it alone.

    Memory holds one frame, however long the loop. Raises ``ImageError`` as ``decode_dicom`` does, at the frame that is
    damaged.
    """
    loop = open_loop(path, limits)
    for index in range(1, loop.count + 1):
        yield loop.frame(index)


def _places(stream: BinaryIO, header: Dataset, syntax: UID, count: int, source: str) -> list[list[_Span]]:
    """Where each frame's bytes are in a file whose stream stands at the pixel data element."""
    length = _enter_pixel_data(stream, header, syntax, source)
    if syntax.is_compressed:
        if length != UNDEFINED_LENGTH:
            raise damaged(source, "its compressed pixel data has a length")
        return _encapsulated(stream, count)
    end = min(stream.tell() + length, stream_size(stream))
    return _native(stream.tell(), end, count, _frame_bytes(header), source)


def _native(start: int, end: int, count: int, size: int, source: str) -> list[list[_Span]]:
    """Uncompressed pixel data, which must be there in full."""
    if end - start < count * size:
        raise damaged(source, "its pixel data is shorter than it says")
    return [[(start + index * size, size)] for index in range(count)]


def _encapsulated(stream: BinaryIO, count: int) -> list[list[_Span]]:
    """Compressed pixel data: which fragments make a frame is pydicom's judgement, and is made once."""
    start = stream.tell()
    parse_basic_offsets(stream)  # steps over it
    fragments = iter(parse_fragments(stream)[1])
    stream.seek(start)
    frames = islice(generate_fragmented_frames(stream, number_of_frames=count), count)
    return [[(next(fragments) + 8, len(piece)) for piece in frame] for frame in frames]


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


def _rate(header: Dataset) -> float | None:
    """Frames a second: as recommended, else as acquired (PS3.3 C.7.6.5); ``None`` if absent or absurd."""
    for keyword in _RATE:
        try:
            value = header.get(keyword)
            told = [float(part) for part in value[1:]] if keyword == "FrameTimeVector" else [float(value)]
            mean = math.fsum(told) / len(told)
            rate = 1000 / mean if keyword.startswith("FrameTime") else mean
        except (TypeError, ValueError, ZeroDivisionError):
            continue
        if 0 < rate <= _FASTEST:
            return rate
    return None


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

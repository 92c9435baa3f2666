"""Whether all of a PNG's pixels are there, told without drawing them.

Pillow does not check the pixel data's checksums, and leaves rows black when the stream ends early but neatly.
Source: PNG specification (W3C Recommendation, 3rd edition), sections 5 (chunks), 8 (interlacing), 9 (filtering).
"""

from __future__ import annotations

import struct
import zlib

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type → samples per pixel
_STARTS = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 20


def missing(data: bytes) -> str | None:
    """What a PNG lacks of a whole, intact picture; ``None`` if nothing."""
    position, header, streams = 8, b"", []
    view = memoryview(data)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        name, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            return "its end is missing"
        # A damaged comment costs nothing; damaged pixels (critical chunks: upper-case first letter) do.
        if (
            name[:1].isupper()
            and zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]
        ):
            return f"the checksum of its {name.decode('ascii', 'replace')} part is wrong"
        if name == b"IHDR":
            header = data[position + 8 : end - 4]
        elif name == b"IDAT":
            streams.append(view[position + 8 : end - 4])
        elif name == b"IEND":
            return _missing_rows(header, streams)
        position = end
    return "its end is missing"


def _missing_rows(header: bytes, streams: list[memoryview]) -> str | None:
    if len(header) != 13:
        return "its header is missing"
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    passes = _STARTS if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for left, top, across, down in passes:
        columns, rows = -(-max(width - left, 0) // across), -(-max(height - top, 0) // down)
        if columns:
            expected += rows * (1 + -(-columns * bits * _SAMPLES.get(colour, 1) // 8))
    return None if _unpacks_to(streams, expected) else "rows of its picture are missing"


def _unpacks_to(streams: list[memoryview], expected: int) -> bool:
    """True if the pixel stream is sound and at least that long; nothing of it is kept."""
    inflater, size = zlib.decompressobj(), 0
    try:
        for stream in streams:
            rest: bytes | memoryview = stream
            while len(rest) and size < expected:
                size += len(inflater.decompress(rest, _PIECE))
                rest = inflater.unconsumed_tail
    except zlib.error:
        return False
    return size >= expected

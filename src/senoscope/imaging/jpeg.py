"""The outline of a JPEG file, read without decoding it, and whether all its pixels are there.

libjpeg fills what a cut file lacks with mid-grey and calls it a warning, which Pillow does not pass on.
Source: ITU-T T.81, Annex B (markers) and Annex G (progressive mode).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from io import BytesIO

from PIL.JpegImagePlugin import JpegImageFile

# A marker is 0xFF (repeatable) and a code of C0 or more; FF with less is data (JPEG stuffs a zero byte, JPEG-LS a
# zero bit), and FF D0 to D7 go on with the same scan.
_MARKER = re.compile(rb"\xff+([\xc0-\xcf\xd8-\xfe])")
_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_PROGRESSIVE = 0xC2


@dataclass(frozen=True, slots=True)
class JpegOutline:
    """Size, coding process (the SOF marker), and where the picture ends (``None``: it does not).

    ``scans`` holds one (components, first coefficient, last coefficient, lowest bit) per scan.
    """

    width: int
    height: int
    process: int
    scans: tuple[tuple[tuple[int, ...], int, int, int], ...]
    end: int | None


def outline(data: bytes) -> JpegOutline | None:
    """Walk the segments of a JPEG or JPEG-LS stream; ``None`` if it has no frame header."""
    frame: tuple[int, int, int] | None = None
    scans: list[tuple[tuple[int, ...], int, int, int]] = []
    position, end = 2, None
    while found := _MARKER.search(data, position):
        marker, position = found.group(1)[0], found.end()
        if marker == 0xD9:
            end = found.start()
            break
        if marker == 0xD8:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        if len(body) < max(length - 2, 0):
            break
        if marker in _SOF and len(body) >= 6 and frame is None:
            height, width = struct.unpack_from(">HH", body, 1)
            frame = (width, height, marker)
        elif marker == 0xDA and len(body) >= 6 and len(body) == 2 * body[0] + 4:
            scans.append((tuple(body[1:-3:2]), body[-3], body[-2], body[-1] & 15))
        position += length
    return JpegOutline(*frame, tuple(scans), end) if frame else None


def missing(data: bytes) -> str | None:
    """What a JPEG lacks of a whole picture, told from its structure; ``None`` if nothing."""
    found = outline(data)
    if found is None or not found.scans:
        return "it holds no picture"
    if found.end is None:
        return "its end is missing"
    if found.process == _PROGRESSIVE:
        drawn = {
            (component, frequency)
            for components, first, last, bit in found.scans
            if bit == 0
            for component in components
            for frequency in range(first, last + 1)
        }
        components = {component for scan in found.scans for component in scan[0]}
        if len(drawn) < 64 * len(components):
            return "its finest scans are missing"
    return None


def is_filled(data: bytes) -> bool:
    """True if the last pixels of a sequential JPEG were never stored: cut, then closed with an end marker.

    Decodes once more with harmless bytes in place of the end marker: a whole picture does not miss it, a cut
    one runs out of data. Call it when the last pixel is mid-grey, libjpeg's filling.
    """
    found = outline(data)
    if found is None or found.end is None or found.process not in _SEQUENTIAL or len(found.scans) != 1:
        return False  # several scans are always read up to the end marker; nothing can be told this way
    padded = data[: found.end] + b"\xff\x00" * 8  # at most the 64 bits the Huffman decoder looks ahead
    try:
        JpegImageFile(BytesIO(padded)).load()
    except OSError:
        return True
    except (SyntaxError, ValueError):
        return False  # a kind of JPEG (12-bit, say) that is decoded by something else
    return False

"""What a file really is, told from its first bytes, and whether all of it is there.

Completeness is checked without decoding, because a decoder may fill what is missing with grey or black.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from senoscope.errors import ImageError
from senoscope.imaging import jpeg, png

EXTENSIONS: dict[str, frozenset[str]] = {
    "PNG": frozenset({".png"}),
    "JPEG": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "TIFF": frozenset({".tif", ".tiff"}),
    "BMP": frozenset({".bmp", ".dib"}),
    "PNM": frozenset({".pgm", ".ppm", ".pbm", ".pnm"}),
    "DICOM": frozenset({".dcm", ".dicom", ".dic", ".ima", ""}),
}
"""Formats that are read, and the file-name endings each may have."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
)

# Things people do hand over, each with what to do about it.
_KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (b"GIF8", "a GIF", "export the frame to analyse as PNG"),
    (b"%PDF", "a PDF document", "export the picture inside it as PNG"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it and give its images"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and give its images"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file", "convert it to PNG or TIFF without loss"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file", "convert it to PNG or TIFF without loss"),
    (b"\x1aE\xdf\xa3", "a video", "export the frame to analyse as PNG"),
)

# Windows, Linux, script, macOS (two byte orders and universal).
_PROGRAMS = (b"MZ", b"\x7fELF", b"#!", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")
_MARKUP = re.compile(rb"\s*(<\?xml|<svg|<!doctype|<html|<!--)", re.IGNORECASE)


def sniff(data: bytes, source: str) -> str:
    """The format of a file's bytes, a key of ``EXTENSIONS``; raises ``ImageError`` for anything else."""
    if not data:
        raise ImageError(f"{source} is empty (0 bytes)", expected="an image", fix="copy or export it again")
    if data[128:132] == b"DICM":  # before TIFF, whose header may stand in the preamble
        return "DICOM"
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if re.match(rb"P[1-6][\s#]", data):
        return "PNM"
    raise ImageError(
        f"{source} is {_describe(data)}",
        expected="a PNG, JPEG, TIFF, BMP, PGM, PPM or DICOM file",
        fix=_advice(data),
    )


def check_preamble(data: bytes, source: str) -> None:
    """Refuse a DICOM file whose 128 free bytes make it a program or a script as well."""
    preamble = data[:128]
    if preamble.startswith(_PROGRAMS):
        raise ImageError(
            f"{source} is a DICOM file that can also be run as a program",
            expected="a preamble of zeros or a TIFF header",
            fix="treat the file as hostile; fetch the image again from the archive",
        )


def extension_note(kind: str, name: str) -> str | None:
    """A note when a file's name says one format and its bytes another."""
    suffix = PurePath(name).suffix.lower()
    if suffix in EXTENSIONS[kind] or not any(suffix in known for known in EXTENSIONS.values() if suffix):
        return None
    return f"named {suffix} but holds {kind}: read as {kind}"


def check_complete(kind: str, data: bytes, source: str) -> None:
    """Raise ``ImageError`` if a PNG or JPEG ends early or fails its checksums.

    Their decoders fill what is missing; those of the other formats refuse by themselves.
    """
    lack = {"PNG": png.missing, "JPEG": jpeg.missing}.get(kind, _nothing)(data)
    if lack:
        raise damaged(source, lack)


def _nothing(_: bytes) -> str | None:
    return None


def damaged(source: str, why: str) -> ImageError:
    """The error for a file that is of the right kind but not whole."""
    return ImageError(
        f"{source} is cut short or damaged: {why}",
        expected="a complete file; what is missing is never filled in",
        fix="copy or export it again",
    )


def _describe(data: bytes) -> str:
    for magic, what, _ in _KNOWN:
        if data.startswith(magic):
            return what
    if _MARKUP.match(data[:512].removeprefix(b"\xef\xbb\xbf")):
        return "a text document (SVG, HTML or XML)"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP picture"
    if data[4:8] == b"ftyp":
        return "a video or HEIC picture"
    return "in no format that is read here"


def _advice(data: bytes) -> str:
    for magic, _, advice in _KNOWN:
        if data.startswith(magic):
            return advice
    return "export the image as PNG; a DICOM file needs its 128-byte preamble and DICM mark"

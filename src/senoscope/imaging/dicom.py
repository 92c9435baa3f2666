"""DICOM stills."""

from __future__ import annotations

from senoscope.errors import ImageError
from senoscope.imaging.raw import Limits, RawImage


def decode_dicom(data: bytes, source: str, limits: Limits) -> RawImage:
    """Comes next."""
    raise ImageError(f"{source} is a DICOM file", expected="PNG, JPEG or TIFF", fix="export it as PNG")

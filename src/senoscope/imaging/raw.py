"""An image as read from disk, and what is asked of it before any model sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from senoscope.errors import ImageError
from senoscope.schema import Box, FloatArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]

MIN_SIDE = 32
"""Shorter images (px) hold too little speckle to say anything about."""

MAX_ASPECT = 10.0
"""A longer strip than this is a ruler, a line or a damaged file, not an ultrasound image."""

MIN_LEVELS = 8
"""A picture with fewer grey levels is a mask or a drawing."""

CHROMA = 32 / 255
"""Channels further apart than this are colour; JPEG's chroma noise stays well below."""

# Rec. ITU-R BT.601 luma, the weights every ultrasound machine's RGB export was made with.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused from the header, before memory is spent on pixels."""

    max_pixels: int = 64_000_000
    max_side: int = 20_000
    max_bytes: int = 512 * 1024**2
    max_frames: int = 1
    max_cine: int = 4_000

    def check_size(self, width: int, height: int, source: str) -> None:
        """Raise ``ImageError`` if a picture of this size must not be decoded."""
        if width < 1 or height < 1:
            raise ImageError(
                f"{source} says it is {width}×{height} pixels",
                expected="at least one row and one column",
                fix="export the image again; its header is damaged",
            )
        if max(width, height) > self.max_side or width * height > self.max_pixels:
            raise ImageError(
                f"{source} says it is {width}×{height} pixels",
                expected=f"sides up to {self.max_side} and up to {self.max_pixels:,} pixels in all",
                fix="scale the image down or crop it, or raise the limits if the file is trusted",
            )

    def check_frames(self, frames: int | None, source: str) -> None:
        """Raise ``ImageError`` if a file holds more pictures than can be read (``None``: uncounted, several)."""
        if frames is not None and frames < 1:
            raise ImageError(
                f"{source} says it holds {frames} frames", expected="one frame", fix="export the image again"
            )
        if frames is None or frames > self.max_frames:
            raise ImageError(
                f"{source} holds {'several' if frames is None else frames} frames or pages",
                expected="a single still image",
                fix="export the frame to analyse as its own PNG, TIFF or single-frame DICOM file, "
                "or give the DICOM cine to 'senoscope dicom'",
            )

    def check_cine(self, frames: int, source: str) -> None:
        """Raise ``ImageError`` if a loop has no frame, or more than are read one after another."""
        if not 1 <= frames <= self.max_cine:
            raise ImageError(
                f"{source} says it holds {frames} frames",
                expected=f"1 to {self.max_cine:,} frames",
                fix="export the loop again, or cut it",
            )


@dataclass(frozen=True, slots=True)
class RawImage:
    """Pixels as stored, upright, with what the file says about them.

    ``pixels`` is H×W or H×W×3 (RGB) of uint8, uint16 or float32; integers span their type's whole range and
    floats 0..1. ``spacing`` is (row, column) in mm per pixel or ``None`` when unknown. ``modality`` is the
    DICOM code, ``None`` for ordinary pictures. ``notes`` say what was converted on the way.
    ``orientation`` is the EXIF orientation (1 to 8) that was undone. ``region`` is the B-mode area a DICOM
    file marks (the largest, unless two share that place). ``laterality`` is L, R or B and ``view`` the mammographic
    projection (CC, MLO, ...), where a DICOM file says so.
    """

    pixels: Pixels
    spacing: tuple[float, float] | None
    modality: str | None
    notes: tuple[str, ...]
    source: str
    orientation: int = 1
    region: Box | None = None
    laterality: str | None = None
    view: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


def to_gray(raw: RawImage) -> FloatArray:
    """Float32 H×W in 0..1: integers divided by their type's maximum, colour by Rec. 601 luma."""
    pixels, scale = raw.pixels, np.float32(_white(raw.pixels))
    if pixels.ndim == 2:
        return pixels.astype(np.float32) / scale
    red, green, blue = (pixels[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red.astype(np.float32) / scale  # exact: a grey picture saved as RGB equals its grey twin
    luma: FloatArray = red.astype(np.float32) * np.float32(_LUMA[0])
    luma += green.astype(np.float32) * np.float32(_LUMA[1])
    luma += blue.astype(np.float32) * np.float32(_LUMA[2])
    luma /= scale
    np.minimum(luma, np.float32(1.0), out=luma)
    return luma


def _white(pixels: Pixels) -> float:
    """The stored value that means full brightness."""
    return {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(pixels.dtype, 1.0)


def colour_fraction(raw: RawImage) -> float:
    """Share of pixels, 0..1, whose channels differ visibly: Doppler, elastography, coloured overlays."""
    pixels = raw.pixels
    if pixels.ndim == 2:
        return 0.0
    highest, lowest = pixels.max(axis=2), pixels.min(axis=2)  # highest ≥ lowest: unsigned subtraction is safe
    return float(np.mean((highest - lowest) > CHROMA * _white(pixels)))


def analysable(gray: FloatArray) -> str | None:
    """Why a grey image (float32 H×W, 0..1) cannot be analysed, or ``None`` if it can be."""
    height, width = gray.shape
    if min(height, width) < MIN_SIDE:
        return f"the image is {width}×{height} pixels; at least {MIN_SIDE} on each side are needed"
    if max(height, width) > MAX_ASPECT * min(height, width):
        return f"the image is a strip of {width}×{height} pixels"
    return _flat(gray)


def _flat(gray: FloatArray) -> str | None:
    low, high = float(gray.min()), float(gray.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return "the image holds values that are not numbers"
    if high < 1 / 255:
        return "the image is black throughout"
    if high - low < 2 / 255:
        return "the image has the same brightness throughout"
    levels = np.count_nonzero(np.bincount((gray * 255).astype(np.uint8).ravel(), minlength=256))
    if levels < MIN_LEVELS:
        return f"the image holds only {levels} grey levels, like a mask or a drawing"
    return None

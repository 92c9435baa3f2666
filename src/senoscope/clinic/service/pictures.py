"""What a browser is shown of an image: its pixels in 8 bits, and its evidence as a small grey picture."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from senoscope.imaging.draw import png_bytes
from senoscope.imaging.raw import Pixels
from senoscope.schema import FloatArray

HEAT_SIDE = 352
"""The evidence is smooth: its picture need not be as large as the image."""


def picture_png(pixels: Pixels) -> bytes:
    """Pixels as 8-bit PNG; the whole range of their type is kept, so window and level start neutral."""
    stream = BytesIO()
    # Level 1: five megapixels in a tenth of the time, a little larger.
    Image.fromarray(_eight_bit(pixels)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def heat_png(heat: FloatArray, side: int = HEAT_SIDE) -> bytes:
    """A heatmap (H×W, 0..1) as grey PNG, its longer side at most ``side`` pixels: 0 for benign, 255 for malignant."""
    step = max(1, max(heat.shape) // (2 * side))
    values = np.rint(np.clip(heat[::step, ::step], 0, 1) * 255).astype(np.uint8)
    small = Image.fromarray(np.ascontiguousarray(values))
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    return png_bytes(small)


def heat_values(png: bytes) -> FloatArray:
    """What ``heat_png`` wrote, as values 0..1."""
    with Image.open(BytesIO(png)) as picture:
        heat: FloatArray = np.asarray(picture, dtype=np.float32) / np.float32(255)
    return heat


def _eight_bit(pixels: Pixels) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, dtype=np.uint8)
    white = 65535 if pixels.dtype == np.uint16 else 1
    scaled: NDArray[np.uint8] = np.rint(np.clip(pixels.astype(np.float32) / white, 0, 1) * 255).astype(
        np.uint8
    )
    return scaled

"""Text and calipers burnt into the picture.

Both lie at random places. Calipers at a lesion's ends, where operators set them, would tell a network where to look:
that is a shortcut and no corruption.
"""

from __future__ import annotations

import math
import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from senoscope.schema import FloatArray

_LETTERS = np.array(list(string.ascii_uppercase + string.digits + "  .:"))


def text(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """``amount`` pieces of 3 to 15 letters, 3 to 5 % of the longer side high, grey to white."""
    height, width = image.shape
    layer, longer = Image.new("L", (width, height)), max(height, width)
    draw = ImageDraw.Draw(layer)
    for _ in range(round(amount)):
        words = "".join(rng.choice(_LETTERS, int(rng.integers(3, 16))))
        font = ImageFont.load_default(max(7.0, round(longer * rng.uniform(0.03, 0.05))))
        left, top = rng.uniform(0, 0.8) * width, rng.uniform(0, 0.94) * height
        draw.text((round(left), round(top)), words, int(rng.integers(150, 256)), font)
    return _burnt(image, layer)


def calipers(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """``amount`` pairs of crosses, 10 to 40 % of the longer side apart, each joined by a dotted line."""
    height, width = image.shape
    layer, longer = Image.new("L", (width, height)), max(height, width)
    draw = ImageDraw.Draw(layer)
    arm, dot = max(2, round(0.012 * longer)), max(1, round(0.003 * longer))
    for _ in range(round(amount)):
        middle = rng.uniform(0.15, 0.85, 2) * (width, height)
        angle, half = rng.uniform(0, math.pi), rng.uniform(0.05, 0.2) * longer
        ink, reach = int(rng.integers(170, 256)), half * np.array([math.cos(angle), math.sin(angle)])
        for x, y in (np.rint(middle - reach), np.rint(middle + reach)):
            draw.line((x - arm, y, x + arm, y), ink, dot)
            draw.line((x, y - arm, x, y + arm), ink, dot)
        for share in np.linspace(-1, 1, max(3, round(half / (2 * dot)))):
            x, y = np.rint(middle + share * reach)
            draw.rectangle((x, y, x + dot - 1, y + dot - 1), ink)
    return _burnt(image, layer)


def _burnt(image: FloatArray, layer: Image.Image) -> FloatArray:
    ink = np.asarray(layer, dtype=np.float32) / np.float32(255)
    return np.asarray(np.maximum(image, ink), dtype=np.float32)

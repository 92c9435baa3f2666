"""Speckle, blur, JPEG and small copies: what scanners, archives and networks do to fine structure.

Lengths are in 256ths of the longer side, so that a severity does not depend on how large a picture was exported.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from senoscope.schema import FloatArray

_GRAIN = (0.5, 1.0)  # standard deviations of a grain along and across the beam, in 256ths of the longer side


def speckle(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """x·(1 + ``amount``·n) with Gaussian noise n of variance 1: the speckle noise of Hendrycks & Dietterich (2019).

    Its grain is that of ultrasound, wider across than along the beam. A simplification: fully developed speckle is
    Rayleigh distributed before log compression (Wagner et al. 1983), and grows along with its tissue, not upon it.
    """
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    unit = _unit(image)
    noise = gaussian_filter(noise, (_GRAIN[0] * unit, _GRAIN[1] * unit), mode="reflect")
    return np.asarray(image * (1 + np.float32(amount / noise.std()) * noise), dtype=np.float32)


def blur(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """Gaussian blur of standard deviation ``amount``."""
    return np.asarray(gaussian_filter(image, amount * _unit(image), mode="nearest"), dtype=np.float32)


def jpeg(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """Stored as a grey 8-bit JPEG of quality ``amount`` and read again."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(buffer, "jpeg", quality=round(amount))
    with Image.open(buffer) as picture:
        return np.asarray(picture, dtype=np.float32) / np.float32(255)


def resize(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """Reduced until the longer side has ``amount`` pixels and enlarged again, both bilinear; a smaller one stays."""
    height, width = image.shape
    scale = amount / max(height, width)
    if scale >= 1:
        return image
    picture = Image.fromarray(image)
    small = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))), _BILINEAR)
    return np.asarray(small.resize((width, height), _BILINEAR), dtype=np.float32)


_BILINEAR = Image.Resampling.BILINEAR


def _unit(image: FloatArray) -> float:
    return float(max(image.shape)) / 256

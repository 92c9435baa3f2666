"""Gain, time-gain compensation, dynamic range and grey map: what an operator's knobs do to the grey levels.

A B-mode picture shows the logarithm of the echo's amplitude: over a display of D decibels, a grey level g in 0..1 is
D·(1 − g) dB below the brightest. A gain is therefore a shift of the grey level and a dynamic range its slope. D is not
written in the public datasets; 60 dB is a usual preset.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from senoscope.schema import FloatArray

DISPLAY_DB = 60.0
"""Dynamic range that a picture is taken to show from black to white."""

_LIT, _NEARBY = (
    0.04,
    0.01,
)  # mean brightness of a lit neighbourhood, and its reach as a share of the longer side


def gain(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """Brightness shifted by ``amount`` dB, up or down with even chances."""
    return _lit(image, image + np.float32(_sign(rng) * amount / DISPLAY_DB))


def tgc(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """A shift that runs evenly from ``amount`` dB at the top to −``amount`` dB at the bottom, or the reverse."""
    depth = np.linspace(1, -1, len(image), dtype=np.float32)[:, None]
    return _lit(image, image + depth * np.float32(_sign(rng) * amount / DISPLAY_DB))


def contrast(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """The dynamic range divided (dark tissue goes black) or multiplied (it turns grey) by ``amount``; white stays."""
    slope = np.float32(amount ** _sign(rng))
    return _lit(image, 1 - (1 - image) * slope)


def gamma(image: FloatArray, amount: float, rng: np.random.Generator) -> FloatArray:
    """Grey levels to the power ``amount`` (darker) or 1/``amount`` (lighter)."""
    return np.power(image, np.float32(amount ** _sign(rng)), dtype=np.float32)


def _sign(rng: np.random.Generator) -> int:
    return 2 * int(rng.integers(2)) - 1


def _lit(image: FloatArray, changed: FloatArray) -> FloatArray:
    """``changed`` where there is a picture: no knob reaches the black outside the scanned field."""
    nearby = gaussian_filter(image, _NEARBY * max(image.shape))
    share = np.clip(nearby / np.float32(_LIT), 0, 1)
    return np.asarray(image + (changed - image) * share, dtype=np.float32)

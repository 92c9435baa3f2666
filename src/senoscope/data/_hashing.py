"""Perceptual hashes and thumbnails of gray images, whole or in crops.

The DCT is separable, so the low frequencies of *every* crop of a grid come out of two matrix products: one with the
cosines of all vertical intervals, one with those of all horizontal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from senoscope.schema import FloatArray

Interval = tuple[float, float]  # start and length, as shares of the side
WHOLE: tuple[Interval, ...] = ((0.0, 1.0),)

SIDE = 128  # longer side of the copy that everything is computed from
_FLAT = 6 / 255  # a letterbox row or column varies less than this
_ODD = np.tile(np.where(np.arange(8) % 2, -1.0, 1.0), 8).astype(np.float32)


def strip_border(gray: FloatArray) -> FloatArray:
    """The image without near-constant rows and columns at its edges; unchanged if nothing else were left."""
    rows = np.flatnonzero(np.ptp(gray, axis=1) > _FLAT)
    columns = np.flatnonzero(np.ptp(gray, axis=0) > _FLAT)
    if rows.size < 8 or columns.size < 8:
        return gray
    return gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def shrink(gray: FloatArray, side: int = SIDE) -> FloatArray:
    """The image with its longer side ``side`` pixels (float32, 0..1), at least 8 pixels high and wide."""
    height, width = gray.shape
    scale = side / max(height, width)
    return resize(gray, max(8, round(height * scale)), max(8, round(width * scale)))


def resize(gray: FloatArray, height: int, width: int) -> FloatArray:
    """Resampled by area, so that fine speckle does not alias."""
    picture = Image.fromarray(np.ascontiguousarray(gray, dtype=np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=np.float32)


def thumbnail(gray: FloatArray, side: int = 64) -> FloatArray:
    """The image squeezed to ``side``², centred and of length 1: the product of two is their correlation."""
    small = resize(gray, side, side).ravel()
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), dtype=np.float32)


def spectrum(
    gray: FloatArray, rows: Sequence[Interval] = WHOLE, columns: Sequence[Interval] = WHOLE
) -> FloatArray:
    """The 8×8 low DCT frequencies of every crop rows × columns: float32, (n_rows · n_columns) × 64, or 64 if whole."""
    height, width = gray.shape
    down, across = _cosines(height, tuple(rows)), _cosines(width, tuple(columns))
    values = (down @ gray @ across.T).reshape(len(rows), 8, len(columns), 8).transpose(0, 2, 1, 3)
    flat = values.reshape(-1, 64)
    return np.asarray(flat[0] if rows is WHOLE and columns is WHOLE else flat, dtype=np.float32)


def mirror(spectra: FloatArray) -> FloatArray:
    """The spectra of the images seen left-right: odd horizontal frequencies change sign."""
    return spectra * _ODD


def signs(spectra: FloatArray) -> FloatArray:
    """+1 or −1 per frequency, above or below the median of those that are not constant: the hash, ready to multiply."""
    middle = np.median(spectra[..., 1:], axis=-1, keepdims=True)
    return np.where(spectra > middle, 1, -1).astype(np.float32)


def distance(first: FloatArray, second: FloatArray) -> NDArray[np.float32]:
    """Hamming distances in bits between two sets of hashes (N×64, M×64 → N×M)."""
    return np.asarray((64 - first @ second.T) / 2, dtype=np.float32)


def phash(gray: FloatArray) -> int:
    """The 64-bit perceptual hash of a gray image, its lowest frequency in the highest bit."""
    bits = signs(spectrum(shrink(strip_border(gray)))) > 0
    return int("".join("1" if bit else "0" for bit in bits), 2)


@lru_cache(maxsize=512)
def _cosines(length: int, intervals: tuple[Interval, ...]) -> FloatArray:
    """DCT-II rows of frequency 0..7 over each interval of an axis, zero outside it: (8 · intervals) × length."""
    centres = (np.arange(length) + 0.5) / length
    rows = []
    for start, share in intervals:
        within = (centres - start) / share
        inside = (within > 0) & (within < 1)
        rows.append(np.cos(np.pi * np.arange(8)[:, None] * within) * inside / inside.sum())
    return np.concatenate(rows).astype(np.float32)

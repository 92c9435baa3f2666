"""Depth, aspect, crop and flip: changes of geometry, in which the truth moves with the picture.

A moved mask's pixel is lesion if at least half of it is.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from senoscope.imaging.masks import mask_to_box
from senoscope.schema import BoolArray, FloatArray

Moved = tuple[FloatArray, BoolArray | None]


def depth(image: FloatArray, mask: BoolArray | None, amount: float, rng: np.random.Generator) -> Moved:
    """The picture ``amount`` times smaller at the top centre of the same frame, where the probe is; the rest black.

    A scanner would show more tissue there; none is made up.
    """
    height, width = image.shape
    rows, columns = max(1, round(height / amount)), max(1, round(width / amount))
    left = (width - columns) // 2

    def move(values: FloatArray) -> FloatArray:
        moved = np.zeros_like(values)
        moved[:rows, left : left + columns] = _resized(values, rows, columns)
        return moved

    return move(image), None if mask is None else move(mask.astype(np.float32)) >= 0.5


def aspect(image: FloatArray, mask: BoolArray | None, amount: float, rng: np.random.Generator) -> Moved:
    """Width or height, with even chances, divided by ``amount``: the frame changes with it."""
    height, width = image.shape
    if rng.integers(2):
        height = max(1, round(height / amount))
    else:
        width = max(1, round(width / amount))
    moved = None if mask is None else _resized(mask.astype(np.float32), height, width) >= 0.5
    return _resized(image, height, width), moved


def crop(image: FloatArray, mask: BoolArray | None, amount: float, rng: np.random.Generator) -> Moved:
    """A window that lacks the share ``amount`` of width and height, at a random place that holds the lesion.

    A lesion that does not fit is cut alike on both sides, so that its class stays true as far as it can.
    """
    box = None if mask is None else mask_to_box(mask)
    spans = (None, None) if box is None else ((box.y, box.y + box.height), (box.x, box.x + box.width))
    sides = zip(image.shape, spans, strict=True)
    rows, columns = (_window(length, amount, span, rng) for length, span in sides)
    return image[rows, columns].copy(), None if mask is None else mask[rows, columns].copy()


def flip(image: FloatArray, mask: BoolArray | None, amount: float, rng: np.random.Generator) -> Moved:
    """Left and right exchanged."""
    return image[:, ::-1].copy(), None if mask is None else mask[:, ::-1].copy()


def _window(length: int, lost: float, span: tuple[float, float] | None, rng: np.random.Generator) -> slice:
    """Where to cut along one side: ``span`` is the lesion's first pixel and the one past its last."""
    size = max(1, round(length * (1 - lost)))
    low, high = 0, length - size
    if span is not None:
        first, end = int(span[0]), int(span[1])
        if end - first > size:
            low = high = min(max((first + end - size) // 2, 0), high)
        else:
            low, high = max(low, end - size), min(high, first)
    start = int(rng.integers(low, high + 1))
    return slice(start, start + size)


def _resized(values: FloatArray, height: int, width: int) -> FloatArray:
    picture = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)

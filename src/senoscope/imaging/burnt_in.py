"""Text that a scanner burnt into the pixels: labels, measurements, logos.

Glyphs are thin, bright against what surrounds them, of like height and brightness, and stand in a row on one
baseline; speckle and tissue interfaces rarely do all of that three times side by side. Finds bright text of three
glyphs or more; calipers, rulers and single letters are not text here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from senoscope.schema import BoolArray, FloatArray

_STROKE = 0.016  # widest stroke, as a share of the longer side (7 px of 416)
_GAP = 1.3  # widest gap between glyphs, in glyph heights


@dataclass(frozen=True, slots=True)
class _Ink:
    """How text is told from tissue: dim text needs more glyphs, and more alike ones, to be believed."""

    contrast: float  # over what is left when strokes are opened away
    bright: float
    alike: float  # glyphs of a line differ less in brightness
    least: int  # glyphs that make a line


_INKS = (_Ink(0.3, 0.5, 0.15, 3), _Ink(0.2, 0.35, 0.1, 4))


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """Bounding boxes (half-open, px) and brightness of bright thin components, one row each."""

    top: FloatArray
    bottom: FloatArray
    left: FloatArray
    right: FloatArray
    level: FloatArray

    @property
    def height(self) -> FloatArray:
        return self.bottom - self.top

    @property
    def width(self) -> FloatArray:
        return self.right - self.left

    def only(self, chosen: BoolArray) -> _Glyphs:
        fields = (self.top, self.bottom, self.left, self.right, self.level)
        return _Glyphs(*(values[chosen] for values in fields))


def text_mask(gray: FloatArray) -> BoolArray:
    """Where burnt-in text lies: bool H×W, true in the box of every text line, a little margin included.

    ``gray`` is float H×W in 0..1. All false for an image without text or too small to hold any.
    """
    mask = np.zeros(gray.shape, dtype=np.bool_)
    for y0, y1, x0, x1 in text_lines(gray):
        mask[y0:y1, x0:x1] = True
    return mask


def text_lines(gray: FloatArray) -> list[tuple[int, int, int, int]]:
    """Boxes of text lines as (top, bottom, left, right), half-open, in pixels, from top to bottom."""
    if min(gray.shape) < 16:
        return []
    stroke = max(7, round(_STROKE * max(gray.shape)) | 1)
    relief = gray - ndimage.grey_opening(gray, size=(stroke, stroke))
    return _merged([box for ink in _INKS for box in _lines(gray, relief, ink)])


def _lines(gray: FloatArray, relief: FloatArray, ink: _Ink) -> list[tuple[int, int, int, int]]:
    longer = max(gray.shape)
    everything = _glyphs(gray, (relief > ink.contrast) & (gray > ink.bright))
    tallest = max(22.0, 0.055 * longer)
    fit = (
        (everything.height >= 4)
        & (everything.height <= tallest)
        & (everything.width <= 2 * everything.height)
    )
    glyphs = everything.only(fit)
    boxes = []
    for line in _rows(glyphs, ink):
        member = glyphs.only(line)
        # Speckle lined up along an interface is wider than high; letters are not.
        if np.median(member.width / member.height) <= 1.25:
            boxes.append(_grown(member, everything, ink, gray.shape))
    return boxes


def _merged(boxes: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Overlapping boxes united, since bright text may be found as dim text too; from top to bottom."""
    apart: list[tuple[int, int, int, int]] = []
    for box in boxes:
        top, bottom, left, right = box
        for other in [o for o in apart if o[0] < bottom and top < o[1] and o[2] < right and left < o[3]]:
            apart.remove(other)
            top, bottom = min(top, other[0]), max(bottom, other[1])
            left, right = min(left, other[2]), max(right, other[3])
        apart.append((top, bottom, left, right))
    return sorted(apart)


def _glyphs(gray: FloatArray, ink: BoolArray) -> _Glyphs:
    labels, count = ndimage.label(ink, np.ones((3, 3)))
    if count == 0:
        empty = np.zeros(0, dtype=np.float32)
        return _Glyphs(empty, empty, empty, empty, empty)
    boxes = ndimage.find_objects(labels)
    edges = np.array([[r.start, r.stop, c.start, c.stop] for r, c in boxes], dtype=np.float32)
    level = np.array(ndimage.maximum(gray, labels, np.arange(1, count + 1)), dtype=np.float32)
    area = np.bincount(labels.ravel())[1:]
    found = _Glyphs(edges[:, 0], edges[:, 1], edges[:, 2], edges[:, 3], level)
    return found.only(area >= 4)


def _rows(glyphs: _Glyphs, ink: _Ink) -> list[BoolArray]:
    """Members of every row of enough neighbours of like height, brightness and baseline."""
    g, n = glyphs, len(glyphs.top)
    if n < ink.least:
        return []
    taller = np.maximum.outer(g.height, g.height)
    linked = (
        (taller <= 1.4 * np.minimum.outer(g.height, g.height) + 1)
        & (np.abs(np.subtract.outer(g.bottom, g.bottom)) <= 0.2 * taller + 0.5)
        & (np.maximum.outer(g.left, g.left) - np.minimum.outer(g.right, g.right) <= _GAP * taller)
        & (np.abs(np.subtract.outer(g.level, g.level)) <= ink.alike)
    )
    count, row = connected_components(coo_array(linked), directed=False)
    sizes = np.bincount(row, minlength=count)
    return [row == number for number in np.flatnonzero(sizes >= ink.least)]


def _grown(
    line: _Glyphs, everything: _Glyphs, ink: _Ink, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """The line's box, stretched along it over what touches its ends (merged letters, units), plus a margin."""
    top, bottom = float(line.top.min()), float(line.bottom.max())
    left, right = float(line.left.min()), float(line.right.max())
    height = float(np.median(line.height))
    inside = (everything.top >= top - 0.3 * height) & (everything.bottom <= bottom + 0.3 * height)
    near = everything.only(inside & (everything.level >= line.level.min() - ink.alike))
    while True:
        joins = (near.left <= right + height) & (near.right >= left - height)
        joins &= (near.left < left) | (near.right > right)
        if not joins.any():
            break
        left = min(left, float(near.left[joins].min()))
        right = max(right, float(near.right[joins].max()))
    margin = 2
    y0, x0 = max(0, int(top) - margin), max(0, int(left) - margin)
    return y0, min(shape[0], int(bottom) + margin), x0, min(shape[1], int(right) + margin)

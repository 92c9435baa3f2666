"""Where to cut: the findings of an image as masks, windows around them, and places of breast tissue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from senoscope.imaging.masks import components, contour_to_mask, fill_holes, mask_to_box
from senoscope.imaging.raw import MIN_SIDE
from senoscope.schema import BoolArray, Box, FloatArray, Sample

_MIN_SHARE = 0.0004  # parts of a mask below this share of the image are specks
_DARK = 0.08  # of the image's brightest per cent: the film beside the breast
_TRIES, _ENOUGH = 60, 0.9  # places tried for a window, and the share of tissue that ends the search


class Window(NamedTuple):
    """A part of an image in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, values: FloatArray) -> FloatArray:
        """The part of an array H×W."""
        return values[self.top : self.top + self.height, self.left : self.left + self.width]

    def cut_mask(self, mask: BoolArray) -> BoolArray:
        """The part of a mask H×W."""
        return mask[self.top : self.top + self.height, self.left : self.left + self.width]


def ellipse(box: Box, points: int = 64) -> FloatArray:
    """The contour N×2 (x, y) of the ellipse that a box holds: the circle, where an owner drew circles."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    # A regular polygon inside the circle would lose area; this radius makes the areas equal.
    swell = np.sqrt(2 * np.pi / (points * np.sin(2 * np.pi / points)))
    x = (
        box.x + box.width / 2 - 0.5 + swell * box.width / 2 * np.cos(angle)
    )  # centres of pixels are whole numbers
    y = box.y + box.height / 2 - 0.5 + swell * box.height / 2 * np.sin(angle)
    return np.stack([x, y], 1).astype(np.float32)


def findings(sample: Sample) -> list[BoolArray] | None:
    """One mask H×W per finding; ``None`` where neither masks nor boxes say what there is.

    With masks, each connected part is a finding; else each box is one, as the ellipse that it holds. A finding
    outside the image, or smaller than a pixel, is left out.
    """
    shape = (sample.image.shape[0], sample.image.shape[1])
    if sample.mask is not None:
        return components(sample.mask, max(4, round(_MIN_SHARE * sample.mask.size)))
    if sample.record.boxes is None:
        return None
    drawn = [contour_to_mask(ellipse(box), shape) for box in sample.record.boxes]
    return [mask for mask in drawn if mask.any()]


def around(
    mask: BoolArray, margin: float, jitter: float, rng: np.random.Generator, least: int = MIN_SIDE
) -> Window:
    """A square window around a finding that leaves ``margin`` of its longer side free on every side.

    The window is moved at random by up to ``jitter`` of that margin, so that its middle does not give the finding's
    place away. It stays inside the image and is narrower where the image is.
    """
    box = mask_to_box(mask) or Box(0, 0, mask.shape[1], mask.shape[0])
    longer = max(box.width, box.height)
    side = max(round(longer * (1 + 2 * margin)), least)
    reach = jitter * margin * longer
    middle = (
        box.x + box.width / 2 + rng.uniform(-reach, reach),
        box.y + box.height / 2 + rng.uniform(-reach, reach),
    )
    return _place(middle, side, mask.shape)


def tissue(image: FloatArray) -> BoolArray:
    """The largest lit part of an image H×W: the breast on a film, almost everything on an ultrasound image."""
    smooth = ndimage.uniform_filter(image, max(3, max(image.shape) // 100))
    lit = smooth > _DARK * float(np.percentile(image, 99))
    parts = components(lit, max(1, lit.size // 50))
    return fill_holes(parts[0]) if parts else np.ones(image.shape, np.bool_)


def in_tissue(lit: BoolArray, side: int, rng: np.random.Generator) -> Window:
    """A square window at a random place of tissue: the first nearly full of it, else the fullest of those tried."""
    rows, columns = np.nonzero(lit)
    best, most = _place((lit.shape[1] / 2, lit.shape[0] / 2), side, lit.shape), -1.0
    for _ in range(_TRIES if len(rows) else 0):
        index = int(rng.integers(len(rows)))
        window = _place((float(columns[index]), float(rows[index])), side, lit.shape)
        share = float(window.cut_mask(lit).mean())
        if share > most:
            best, most = window, share
        if share >= _ENOUGH:
            break
    return best


def _place(middle: tuple[float, float], side: int, shape: tuple[int, ...]) -> Window:
    height, width = min(side, shape[0]), min(side, shape[1])
    left = min(max(round(middle[0] - width / 2), 0), shape[1] - width)
    top = min(max(round(middle[1] - height / 2), 0), shape[0] - height)
    return Window(left, top, width, height)

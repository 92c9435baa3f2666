"""Registering two small images: do they show the same speckle?

One image's fine structure (local contrast) is slid over the other's at a few scales near the one expected, coarsely
first, then at full size. Two cysts have alike outlines but unlike speckle, so only copies keep a high correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt

import numpy as np
from scipy import fft, ndimage

from senoscope.data._hashing import SIDE, shrink
from senoscope.schema import FloatArray

_COARSE = SIDE // 2  # longer side of the outer image in the first search
_GATE = 0.5  # coarse correlation below which the fine search is not worth it
_CONTRAST = 4 / 255  # local contrast below this is noise, not structure
_ASPECT = 1.3  # a crop may not be stretched more than this
_LEAST = 10  # least side of a template, px
_TRIM = 0.1  # share cut from each side of the overlap: room to slide
_NOTHING = 0.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where image ``inner`` (flipped left-right if ``mirrored``) lies in image ``outer``, in shares of the outer."""

    inner: int
    outer: int
    mirrored: bool
    top: float
    left: float
    height: float
    width: float

    def reversed(self) -> Placement:
        """The same, with the roles exchanged."""
        top, left, height, width = (
            -self.top / self.height,
            -self.left / self.width,
            1 / self.height,
            1 / self.width,
        )
        if self.mirrored:  # the frame is now the other image, unflipped
            left = 1 - left - width
        return Placement(self.outer, self.inner, self.mirrored, top, left, height, width)


class Registrar:
    """Registers pairs of one set of small images, keeping their local-contrast copies at hand."""

    def __init__(self, small: Sequence[FloatArray]) -> None:
        self._small = small
        self._detail = lru_cache(maxsize=8192)(self._make_detail)

    def score(self, place: Placement) -> float:
        """Correlation (−1..1) of the fine structure that both images show, at the best scale and place near."""
        size = self._inner_size(place, SIDE)
        if size > max(self._small[place.inner].shape):
            place = place.reversed()  # only ever scale the template down
        stretch = self._stretch(place)
        if not 1 / _ASPECT < stretch < _ASPECT:
            return _NOTHING
        coarse = [self._slide(place, _COARSE, step, reach=None) for step in (0.89, 0.94, 1.0, 1.06, 1.12)]
        score, place = max(coarse, key=lambda match: match[0])
        if score < _GATE:
            return _NOTHING
        fine = [
            self._slide(place, SIDE, step, reach=6) for step in (0.955, 0.97, 0.985, 1.0, 1.015, 1.03, 1.045)
        ]
        return max(score for score, _ in fine)

    def _stretch(self, place: Placement) -> float:
        inner, outer = self._small[place.inner].shape, self._small[place.outer].shape
        return float((place.height * outer[0] / inner[0]) / (place.width * outer[1] / inner[1]))

    def _inner_size(self, place: Placement, side: int) -> float:
        """Longer side in px of the inner image where the outer's is ``side``; both axes scaled alike."""
        inner, outer = self._small[place.inner].shape, self._small[place.outer].shape
        area = place.height * outer[0] * place.width * outer[1] / (inner[0] * inner[1])
        return float(sqrt(area) * max(inner) * side / max(outer))

    def _slide(self, place: Placement, side: int, step: float, reach: int | None) -> tuple[float, Placement]:
        """The best correlation with the inner image scaled by ``step``, and where it lies then.

        ``reach`` limits how far in px it may move from where it was expected; ``None``: anywhere.
        """
        outer = self._detail(place.outer, side)
        inner = self._detail(place.inner, max(8, round(self._inner_size(place, side) * step)))
        if place.mirrored:
            inner = inner[:, ::-1]
        # Growing by ``step`` keeps the centre where it was.
        top = (place.top + place.height / 2) * outer.shape[0] - inner.shape[0] / 2
        left = (place.left + place.width / 2) * outer.shape[1] - inner.shape[1] / 2
        y0, y1 = _overlap(top, inner.shape[0], outer.shape[0])
        x0, x1 = _overlap(left, inner.shape[1], outer.shape[1])
        if min(y1 - y0, x1 - x0) < _LEAST:
            return _NOTHING, place
        oy, ox = 0, 0
        if reach is not None:
            oy, ox = max(0, round(top) + y0 - reach), max(0, round(left) + x0 - reach)
            outer_part = outer[oy : round(top) + y1 + reach, ox : round(left) + x1 + reach]
        else:
            outer_part = outer
        score, y, x = best_match(inner[y0:y1, x0:x1], outer_part)
        return score, replace(
            place,
            top=(y + oy - y0) / outer.shape[0],
            left=(x + ox - x0) / outer.shape[1],
            height=inner.shape[0] / outer.shape[0],
            width=inner.shape[1] / outer.shape[1],
        )

    def _make_detail(self, index: int, side: int) -> FloatArray:
        """Local contrast of an image with its longer side ``side`` px: deviation over its local spread."""
        image = shrink(self._small[index], side)
        deviation = image - ndimage.gaussian_filter(image, 3)
        spread = np.sqrt(ndimage.gaussian_filter(deviation**2, 3) + _CONTRAST**2)
        return np.asarray(deviation / spread, dtype=np.float32)


def best_match(template: FloatArray, image: FloatArray) -> tuple[float, int, int]:
    """Highest normalised cross-correlation of a template within an image, and the row and column where it is.

    0 where the template does not fit or the image has no structure (Lewis 1995, "Fast Normalized Cross-Correlation").
    """
    (h, w), (height, width) = template.shape, image.shape
    if h > height or w > width:
        return _NOTHING, 0, 0
    template = template - template.mean()
    norm = float(np.linalg.norm(template))
    shape = (fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True))
    product = fft.irfft2(fft.rfft2(image, shape) * np.conj(fft.rfft2(template, shape)), shape)
    product = product[: height - h + 1, : width - w + 1]
    total, squares = _window_sums(image, h, w), _window_sums(image * image, h, w)
    spread = np.sqrt(np.maximum(squares - total**2 / (h * w), 0))
    # A floor on the spread keeps flat parts, where rounding rules, from winning.
    score = product / (max(norm, 1e-6) * np.maximum(spread, 0.3 * sqrt(h * w)))
    y, x = np.unravel_index(int(score.argmax()), score.shape)
    return float(score[y, x]), int(y), int(x)


def _window_sums(image: FloatArray, h: int, w: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    sums[1:, 1:] = image.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return np.asarray(sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w])


def _overlap(start: float, length: int, limit: int) -> tuple[int, int]:
    """First and last + 1 index of a span that lie within 0..limit, trimmed on both sides."""
    first, last = max(0.0, -start), min(float(length), limit - start)
    trim = _TRIM * (last - first)
    return round(first + trim), round(last - trim)

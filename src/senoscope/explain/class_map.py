"""The class activation map: where an image's class came from (NumPy arithmetic, no network).

The model's class logits are a weighted mean of evidence per location,
``logits[c] = sum over x of pool_weights[x] * class_map[c, x]`` with weights that sum to 1. So the evidence can be
shown on the image (Zhou et al. 2016, "Learning deep features for discriminative localization") and divided among
lesions, and the parts still add up to the whole. See docs/explanation/scores.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from senoscope.schema import BoolArray, FloatArray

_TOWARD = (232, 93, 34)
"""Orange: evidence for malignant. With blue it stays readable for every common colour blindness."""
_AGAINST = (46, 134, 222)
"""Blue: evidence for benign."""
_MAX_ALPHA = 0.78
_NO_SHARE = 1e-6


def evidence(class_map: FloatArray, pool_weights: FloatArray, toward: int, against: int) -> FloatArray:
    """Evidence per location, s×s, for class ``toward`` over class ``against``.

    ``class_map`` is C×s×s and ``pool_weights`` s×s. The result sums to ``logits[toward] - logits[against]``.
    """
    difference: FloatArray = (class_map[toward] - class_map[against]) * pool_weights
    return difference


def enlarge(grid: FloatArray, size: int) -> FloatArray:
    """An s×s map of evidence at size×size, bilinear; its *mean* is kept, so its sum grows by (size / s)²."""
    picture = Image.fromarray(np.ascontiguousarray(grid, dtype=np.float32))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)


def to_unit(signed: FloatArray) -> FloatArray:
    """Signed evidence to 0..1 for display: 0.5 is neutral, 1 and 0 the image's strongest for and against.

    One factor per image: ``evidence == (heat - 0.5) * 2 * abs(evidence).max()``. No evidence at all gives 0.5.
    """
    strongest = float(np.abs(signed).max(initial=0.0))
    scale = 0.5 / strongest if strongest > 0 else 0.0
    unit: FloatArray = (signed * np.float32(scale) + np.float32(0.5)).astype(np.float32)
    return np.clip(unit, 0.0, 1.0)


def share_logits(
    class_map: FloatArray, pool_weights: FloatArray, share: BoolArray
) -> tuple[FloatArray, float]:
    """Class logits of one part of the image (C,) and the part's weight in the decision (0..1).

    ``share`` s×s says which locations belong to the part. Parts that cover every location once satisfy
    ``sum of weight * logits == image logits``. A part with (almost) no weight gets the plain mean of its evidence.
    """
    weight = float(pool_weights[share].sum(dtype=np.float64))
    inside = class_map[:, share].astype(np.float64)
    weighted = weight > _NO_SHARE
    logits = inside @ pool_weights[share].astype(np.float64) / weight if weighted else inside.mean(axis=1)
    return logits.astype(np.float32), weight


def colours(heat: FloatArray) -> NDArray[np.uint8]:
    """A heatmap in 0..1 (0.5 neutral) as RGBA, to lay over an image: orange for malignant, blue for benign.

    Neutral is transparent; opacity grows with the strength of the evidence.
    """
    signed = np.clip(heat * 2.0 - 1.0, -1.0, 1.0)
    rgba: NDArray[Any] = np.empty((*heat.shape, 4), dtype=np.uint8)
    rgba[..., :3] = np.where((signed >= 0)[..., None], _TOWARD, _AGAINST)
    rgba[..., 3] = np.rint(np.sqrt(np.abs(signed)) * (_MAX_ALPHA * 255)).astype(np.uint8)
    return rgba

"""Scores of image and findings from the same evidence, so that the parts add up to the whole.

docs/explanation/scores.md has the mathematics; the tests hold it to rounding error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from senoscope.explain.class_map import share_logits
from senoscope.schema import FloatArray


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities (C,) from logits (C,), float32, computed in double precision."""
    powers = np.exp(logits.astype(np.float64) - float(logits.max()))
    probabilities: FloatArray = (powers / powers.sum()).astype(np.float32)
    return probabilities


def finding_logits(
    class_map: FloatArray, pool_weights: FloatArray, masks: Sequence[FloatArray]
) -> list[tuple[FloatArray, float]]:
    """Class logits (C,) of every finding and its weight in the image's decision.

    ``class_map`` C×s×s, ``pool_weights`` s×s. ``masks`` are the findings in the model's frame, float S×S in 0..1. The
    weights sum to 1 and the sum of weight × logits over the findings is the image's logits.
    """
    coverage = [_coverage(mask, pool_weights.shape[0]) for mask in masks]
    owner = nearest_finding(coverage)
    parts = []
    for index, cover in enumerate(coverage):
        share = owner == index
        if share.any():
            parts.append(share_logits(class_map, pool_weights, share))
        else:  # smaller than its neighbour in the one cell they share: that cell's evidence, without weight of its own
            logits, _ = share_logits(class_map, pool_weights, cover == cover.max())
            parts.append((logits, 0.0))
    return parts


def nearest_finding(coverage: Sequence[FloatArray]) -> NDArray[np.intp]:
    """For every cell of the s×s grid, which finding it belongs to: the one covering most of it, else the nearest.

    ``coverage`` holds, per finding, the covered share 0..1 of each cell.
    """
    costs = [np.where(cover > 0, -cover, distance_transform_edt(cover <= 0)) for cover in coverage]
    owner: NDArray[np.intp] = np.argmin(np.stack(costs), axis=0)
    return owner


def _coverage(mask: FloatArray, side: int) -> FloatArray:
    """Mean of an S×S map over s×s equal cells; a map that misses every cell still covers where it is strongest."""
    block = mask.shape[0] // side
    cells: FloatArray = (
        mask[: side * block, : side * block].reshape(side, block, side, block).mean(axis=(1, 3))
    )
    return cells if cells.max() > 0 else np.ones_like(cells) * np.float32(1e-6)

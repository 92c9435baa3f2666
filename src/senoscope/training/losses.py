"""Losses for images whose class or mask may be unknown."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def mask_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice loss (Milletari et al. 2016), averaged over the images with a known mask.

    ``logits`` and ``masks`` N×1×H×W, ``known`` bool N. Dice counts images that hold a lesion; for an empty
    mask only the cross-entropy speaks. Zero, with a gradient of zero, if no mask is known.
    """
    per_pixel = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    entropy = per_pixel.mean((1, 2, 3))
    probability = logits.sigmoid()
    overlap = (probability * masks).sum((1, 2, 3))
    total = (probability + masks).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    filled = masks.flatten(1).any(1)
    each = entropy + torch.where(filled, dice, torch.zeros_like(dice))
    return (each * known).sum() / known.sum().clamp(min=1)


def class_loss(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with class weights over the images whose label is known (``labels`` ≥ 0); zero if none is."""
    if not bool((labels >= 0).any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits, labels, weights, ignore_index=-1, label_smoothing=smoothing)


def class_weights(labels: NDArray[np.int64], classes: int, power: float = 0.5) -> Tensor:
    """Weights ``frequency ** -power`` with mean 1 over the known labels; a class that does not occur weighs 1.

    ``power`` 0 ignores imbalance, 1 balances fully, 0.5 is the usual compromise.
    """
    counts = np.bincount(labels[labels >= 0], minlength=classes).astype(np.float64)
    present = counts > 0
    weights = np.ones(classes)
    if present.any():
        weights[present] = counts[present] ** -power
        weights[present] /= np.average(weights[present], weights=counts[present])
    return torch.tensor(weights, dtype=torch.float32)

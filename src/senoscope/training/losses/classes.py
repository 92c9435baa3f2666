"""Losses of the class: logits N×C, labels N (-1 unknown), class weights C, label smoothing."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def class_loss(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with class weights over the images whose label is known (``labels`` ≥ 0); zero if none is."""
    if not bool((labels >= 0).any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits, labels, weights, ignore_index=-1, label_smoothing=smoothing)


def focal_class_loss(
    logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float = 0.0, gamma: float = 2.0
) -> Tensor:
    """Focal loss over the classes, (1 - p)^γ times the cross-entropy (Lin et al. 2017), averaged as that one is.

    With ``gamma`` 0 it is :func:`class_loss`. Zero, with a gradient of zero, if no label is known.
    """
    known = labels >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    from monai.losses.focal_loss import FocalLoss  # importing it takes seconds: only who asks for it waits

    chosen, classes = labels[known], logits.shape[1]
    wanted = functional.one_hot(chosen, classes).to(logits) * (1 - smoothing) + smoothing / classes
    each: Tensor = FocalLoss(gamma=gamma, use_softmax=True, reduction="none")(logits[known], wanted)
    return (each * weights).sum() / weights[chosen].sum()


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

"""Losses of a box: predicted and wanted N×4 (x, y, width, height in 0..1), and which boxes are known (bool N)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from senoscope.training.losses.masks import over_known


def box_loss(boxes: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Smooth L1 over x, y, width and height, averaged over the images with a known box."""
    each = functional.smooth_l1_loss(boxes, wanted, beta=0.1, reduction="none").mean(1)
    return over_known(each, known)


def giou_loss(boxes: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """1 - generalised intersection over union (Rezatofighi et al. 2019), 0..2, over the images with a known box.

    A predicted box whose width or height is negative is turned the right way round first, as in the paper's
    algorithm 2, so that it too has a gradient.
    """
    each: Tensor = generalized_box_iou_loss(_corners(boxes), _corners(wanted), reduction="none")
    return over_known(each, known)


def _corners(boxes: Tensor) -> Tensor:
    one, other = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    return torch.cat([torch.minimum(one, other), torch.maximum(one, other)], 1)

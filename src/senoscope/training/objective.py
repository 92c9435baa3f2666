"""What a training minimises: one loss per task a system has, and their balance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from senoscope.models.interface import Outputs, System
from senoscope.training.losses import BOX_LOSSES, CLASS_LOSSES, MASK_LOSSES
from senoscope.training.recipe import Recipe

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Targets:
    """What is known of a batch: ``masks`` float N×1×H×W, ``has_mask`` bool N, ``labels`` int64 N (-1 unknown)."""

    masks: Tensor
    has_mask: Tensor
    labels: Tensor


def task_losses(
    system: System, outputs: Outputs, targets: Targets, recipe: Recipe, weights: Tensor
) -> Losses:
    """The losses of every task the outputs speak of: "class", "mask", "box", "contour", and the system's own.

    Auxiliary outputs count like the main one, times ``recipe.auxiliary_weight``. ``weights`` (C) are the classes'.
    """
    losses = _of(outputs, targets, recipe, weights)
    if outputs.auxiliary and recipe.auxiliary_weight:
        for part in outputs.auxiliary:
            for task, value in _of(part, targets, recipe, weights).items():
                share = recipe.auxiliary_weight / len(outputs.auxiliary)
                losses[task] = losses[task] + share * value if task in losses else share * value
    return losses | system.own_losses(outputs, targets.masks, targets.labels)


def _of(outputs: Outputs, targets: Targets, recipe: Recipe, weights: Tensor) -> Losses:
    losses: Losses = {}
    known = targets.has_mask
    if outputs.class_logits is not None:
        losses["class"] = CLASS_LOSSES[recipe.class_loss](
            outputs.class_logits.float(), targets.labels, weights, recipe.label_smoothing
        )
    if outputs.mask_logits is not None:
        logits = outputs.mask_logits.float()
        losses["mask"] = MASK_LOSSES[recipe.mask_loss](logits, _sized(targets.masks, logits), known)
    if outputs.contour_logits is not None:
        logits = outputs.contour_logits.float()
        outline = _sized(contour_of(targets.masks), logits)
        losses["contour"] = MASK_LOSSES["dice-bce"](logits, outline, known)
    if outputs.boxes is not None:
        boxes, filled = boxes_of(targets.masks)
        losses["box"] = BOX_LOSSES[recipe.box_loss](outputs.boxes.float(), boxes, filled & known)
    return losses


def _sized(masks: Tensor, logits: Tensor) -> Tensor:
    if masks.shape[-2:] == logits.shape[-2:]:
        return masks
    return (functional.interpolate(masks, size=logits.shape[-2:], mode="area") >= 0.5).float()


def contour_of(masks: Tensor, width: int = 3) -> Tensor:
    """The outline of masks N×1×H×W: what a dilation adds and an erosion takes (morphological gradient)."""
    pad = width // 2
    grown = functional.max_pool2d(masks, width, 1, pad)
    shrunk = -functional.max_pool2d(-masks, width, 1, pad)
    return grown - shrunk


def boxes_of(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes N×4 (x, y, width, height in 0..1) around masks N×1×H×W, and which masks are not empty (N)."""
    filled = masks.flatten(1).any(1)
    ends = []
    for axis in (2, 3):  # rows seen along y, columns along x
        line = masks.amax(dim=(1, 5 - axis)) > 0
        side = line.shape[1]
        first = line.float().argmax(1)
        last = side - line.flip(1).float().argmax(1)
        ends.append((first / side, last / side))
    (top, bottom), (left, right) = ends
    boxes = torch.stack([left, top, right - left, bottom - top], 1)
    return torch.where(filled[:, None], boxes, torch.zeros_like(boxes)), filled


def fixed_weights(recipe: Recipe) -> dict[str, float]:
    """The recipe's weight of each task; a task it does not name weighs 1."""
    return {"class": recipe.class_weight, "mask": recipe.mask_weight, "box": recipe.box_weight}


def weighted_sum(losses: Losses, weights: dict[str, Any]) -> Tensor:
    """The sum of the losses, each times its weight."""
    return torch.stack([weights.get(task, 1.0) * value for task, value in losses.items()]).sum()

"""Losses for images whose class, mask or box may be unknown."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from senoscope.training.losses.boxes import box_loss, giou_loss
from senoscope.training.losses.classes import class_loss, class_weights, focal_class_loss
from senoscope.training.losses.masks import (
    bce_loss,
    boundary_loss,
    dice_loss,
    focal_mask_loss,
    mask_loss,
    tversky_loss,
)

__all__ = ["box_loss", "class_loss", "class_weights", "mask_loss"]

MASK_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "dice-bce": mask_loss,
    "dice": dice_loss,
    "bce": bce_loss,
    "focal": focal_mask_loss,
    "tversky": tversky_loss,
    "boundary": boundary_loss,
}
"""Losses of a lesion map: logits N×1×H×W, masks N×1×H×W, known bool N."""

CLASS_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "cross-entropy": class_loss,
    "focal": focal_class_loss,
}
"""Losses of the class: logits N×C, labels N (-1 unknown), class weights C, label smoothing."""

BOX_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "smooth-l1": box_loss,
    "giou": giou_loss,
}
"""Losses of a box: predicted and wanted N×4 (x, y, width, height in 0..1), known bool N."""

"""Losses of a lesion map: logits N×1×H×W, masks N×1×H×W, and which masks are known (bool N).

Each is a mean over the images whose mask is known, never negative, and zero with a gradient of zero if none is.
"""

from __future__ import annotations

import torch
from scipy.ndimage import distance_transform_edt
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
    return over_known(each, known)


def dice_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Soft Dice loss alone (Milletari et al. 2016), smoothed by 1.

    An empty mask has no overlap to miss: through the smoothing, 1 - 1/(Σp + 1), it only asks for small sums.
    """
    from monai.losses.dice import DiceLoss  # importing it takes seconds: only who asks for it waits

    loss = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0, reduction="none")
    return over_known(loss(logits, masks).flatten(), known)


def bce_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy per pixel."""
    each = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean((1, 2, 3))
    return over_known(each, known)


def focal_mask_loss(logits: Tensor, masks: Tensor, known: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss per pixel, (1 - p)^γ times the cross-entropy (Lin et al. 2017), without their class weight α."""
    from monai.losses.focal_loss import FocalLoss

    each = FocalLoss(gamma=gamma, reduction="none")(logits, masks).mean((1, 2, 3))
    return over_known(each, known)


def tversky_loss(
    logits: Tensor, masks: Tensor, known: Tensor, false_positives: float = 0.3, false_negatives: float = 0.7
) -> Tensor:
    """Tversky loss (Salehi et al. 2017), smoothed by 1: what is missed weighs more than what is too much.

    An empty mask, as in :func:`dice_loss`, only asks for small sums.
    """
    from monai.losses.tversky import TverskyLoss

    loss = TverskyLoss(
        sigmoid=True,
        alpha=false_positives,
        beta=false_negatives,
        smooth_nr=1.0,
        smooth_dr=1.0,
        reduction="none",
    )
    return over_known(loss(logits, masks).flatten(), known)


def boundary_loss(logits: Tensor, masks: Tensor, known: Tensor, weight: float = 1.0) -> Tensor:
    """:func:`mask_loss` plus ``weight`` times the boundary loss (Kervadec et al. 2019, equation 5).

    Each pixel's probability is weighted by its signed distance to the lesion's outline, in units of the image's
    longer side so that the size does not matter. An interpretation in two points: the paper moves the balance with
    the regional loss from epoch to epoch, here it is constant; and what a perfect map gets is taken off, which
    changes no gradient but keeps the loss from being negative. Empty and full masks have no outline: zero.
    """
    distance = signed_distance(masks) / max(masks.shape[-2:])
    each = (distance * (logits.sigmoid() - masks)).mean((1, 2, 3))
    return mask_loss(logits, masks, known) + weight * over_known(each, known)


@torch.no_grad()
def signed_distance(masks: Tensor) -> Tensor:
    """Distance in pixels N×1×H×W to a mask's outline: 0 on its outermost pixels, negative inside, positive outside."""
    found = torch.zeros(masks.shape)
    for index, mask in enumerate((masks[:, 0] >= 0.5).cpu().numpy()):
        if mask.any() and not mask.all():
            inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
            found[index, 0] = torch.from_numpy(outside - (inside - 1) * mask)
    return found.to(masks.device)


def over_known(each: Tensor, known: Tensor) -> Tensor:
    """The mean of ``each`` (N) over the images that are known (bool N); zero if none is."""
    return (each * known).sum() / known.sum().clamp(min=1)

"""Visual saliency without learning: what is darker than its surround."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CENTRE = 1 / 32
SURROUNDS = (1 / 8, 1 / 4, 1 / 2)
"""Widths of the centre and of its surrounds, as shares of the image's side."""


def dark_saliency(image: Tensor) -> Tensor:
    """Centre-surround contrast (Itti, Koch & Niebur 1998) of images N×1×H×W, as N×1×H×W in 0..1.

    Only the off-centre half is kept, darker than its surround, as lesions in ultrasound are; the mean over three
    surrounds, divided by the image's own maximum. Boxes stand for the paper's Gaussians: they are separable running
    means, so they export and cost nothing. Nothing is learnt and no gradient passes.
    """
    with torch.no_grad():
        # a quarter of the resolution is finer than the centre, and a sixteenth of the work
        small = functional.avg_pool2d(image.float(), 4)
        centre = _mean(small, CENTRE)
        contrast = torch.stack([(_mean(small, s) - centre).clamp(min=0) for s in SURROUNDS]).mean(0)
        contrast = contrast / contrast.amax((2, 3), keepdim=True).clamp(min=1e-6)
        return functional.interpolate(contrast, scale_factor=4.0, mode="bilinear", align_corners=False)


def _mean(x: Tensor, share: float) -> Tensor:
    """Mean in a box whose side is ``share`` of the image's, made odd; beyond the border nothing counts."""
    reach = max(1, round(x.shape[-1] * share / 2))
    for size, pad in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        x = functional.avg_pool2d(x, size, 1, pad, count_include_pad=False)
    return x

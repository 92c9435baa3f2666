"""From one gray channel to what a pretrained network expects."""

from __future__ import annotations

from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = 0.449, 0.226
"""ImageNet's mean and standard deviation, averaged over the colour channels."""


def to_rgb(image: Tensor, mean: float = IMAGENET_MEAN, std: float = IMAGENET_STD) -> Tensor:
    """N×1×H×W in 0..1 to three equal channels, normalised."""
    return ((image - mean) / std).expand(-1, 3, -1, -1)

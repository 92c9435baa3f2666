"""The convolutions of VGG-16 (Simonyan & Zisserman 2015, configuration D)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torchvision.models.vgg import make_layers

from senoscope.models.blocks.backbones import backbone

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions of each stage; every stage ends in a pooling."""


def vgg16_layers(widths: Sequence[int] = (64, 128, 256, 512, 512), *, norm: bool) -> nn.Sequential:
    """The 13 convolutions and 5 poolings for three-channel images, with batch norm or without, untrained.

    Fewer than five ``widths`` give as many stages.
    """
    stages = [[width] * depth + ["M"] for width, depth in zip(widths, DEPTHS, strict=False)]
    layers: nn.Sequential = make_layers([layer for stage in stages for layer in stage], batch_norm=norm)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):  # without norms the signal would die out under PyTorch's own start
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layers


def load_vgg16(
    layers: nn.Sequential,
    *dense: nn.Conv2d,
    norm: bool,
    encoder_weights: Path | None = None,
    pretrained: bool = False,
) -> None:
    """Fill the layers, and ``dense`` (fc6 as a 7×7, fc7 as a 1×1 convolution), from timm's VGG-16 if that is wished."""
    if encoder_weights is None and not pretrained:
        return
    name = "vgg16_bn" if norm else "vgg16"
    source: Any = backbone(name, encoder_weights=encoder_weights, pretrained=pretrained, num_classes=0)
    layers.load_state_dict(source.features.state_dict())
    for own, theirs in zip(dense, (source.pre_logits.fc1, source.pre_logits.fc2), strict=False):
        own.load_state_dict(theirs.state_dict())

"""MobileNetV2 as its published weights have it: the first block with a 1×1 expansion too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from timm.models._efficientnet_blocks import InvertedResidual
from torch import nn

from senoscope.models.blocks.encoder import FIRST_BLOCK, expanded, fit_weights, read_encoder


def expanded_mobilenet(
    *, encoder_weights: Path | None = None, pretrained: bool = False, **options: Any
) -> nn.Module:
    """timm's ``mobilenetv2_100`` (Sandler et al. 2018) with a 1×1 convolution more in its first block.

    Some published weights have it. timm's own have not; there it is the identity, so both give one architecture.
    Raises ``WeightsError`` for a file of another network.
    """
    plain: Any = timm.create_model(
        "mobilenetv2_100", pretrained=pretrained and not encoder_weights, **options
    )
    state = expanded(plain.state_dict())
    plain.blocks[0][0] = InvertedResidual(32, 16, exp_ratio=1.0, act_layer=nn.ReLU6)
    if encoder_weights is not None:
        state = read_encoder(encoder_weights)
        if FIRST_BLOCK + "conv_pwl.weight" not in state:
            state = expanded(state)
    if encoder_weights is not None or pretrained:
        fit_weights(plain, state, "mobilenetv2_100", encoder_weights or "the downloaded weights")
    return plain  # type: ignore[no-any-return]

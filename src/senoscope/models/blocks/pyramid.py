"""A timm encoder as a pyramid of features, for decoders that take its skips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.encoder import CHANNELS, load_encoder
from senoscope.models.blocks.inputs import to_rgb


class Pyramid(nn.Module):
    """Features of a gray image at the stages of the timm encoder ``name``; ``channels`` of each, finest first.

    "mobilenetv2_100" is the project's own gray one, whose weights may have one convolution more than timm's.
    """

    def __init__(self, name: str, *, encoder_weights: Path | None = None, pretrained: bool = False) -> None:
        super().__init__()
        self.gray = name == "mobilenetv2_100"
        self.channels: tuple[int, ...] = CHANNELS
        self.net: Any
        if self.gray:
            self.net = load_encoder(encoder_weights, pretrained=pretrained)
        else:
            self.net = backbone(
                name, encoder_weights=encoder_weights, pretrained=pretrained, features_only=True
            )
            self.channels = tuple(self.net.feature_info.channels())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image N×1×H×W in 0..1 to the features of each stage, N×C×h×w, finest first (most at strides 2 to 32)."""
        features: list[Tensor] = self.net(image if self.gray else to_rgb(image))
        return features

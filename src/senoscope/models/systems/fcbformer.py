"""FCBFormer: a transformer branch and a fully convolutional one (Sanderson & Matuszewski 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.interface import Outputs, System


class ResidualBlock(nn.Module):
    """Group norm, SiLU, 3×3 convolution, twice, beside a shortcut (RB)."""

    def __init__(self, inputs: int, outputs: int, groups: int = 32) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.GroupNorm(groups, inputs),
            nn.SiLU(),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(groups, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×h×w to N×outputs×h×w."""
        out: Tensor = self.shortcut(x) + self.convs(x)
        return out


class ConvolutionalBranch(nn.Module):
    """FCB: a U-Net of residual blocks at full size, whose every block has its skip."""

    def __init__(self, width: int, factors: Sequence[int]) -> None:
        super().__init__()
        groups, channels, skips = min(32, width), width, [width]
        self.down = nn.ModuleList([nn.Conv2d(3, width, 3, padding=1)])
        for level, factor in enumerate(factors):
            if level:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
            for _ in range(2):
                self.down.append(ResidualBlock(channels, factor * width, groups))
                channels = factor * width
                skips.append(channels)
        self.middle = nn.Sequential(*(ResidualBlock(channels, channels, groups) for _ in range(2)))
        self.up = nn.ModuleList()
        for level, factor in reversed(list(enumerate(factors))):
            for step in range(3):
                block = nn.Sequential(ResidualBlock(channels + skips.pop(), factor * width, groups))
                channels = factor * width
                if level and step == 2:
                    block.append(nn.Upsample(scale_factor=2))
                    block.append(nn.Conv2d(channels, channels, 3, padding=1))
                self.up.append(block)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W to N×width×H×W."""
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.middle(x)
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], 1))
        return x


class TransformerBranch(nn.Module):
    """TB: a pyramid vision transformer, local emphasis of each level, stepwise aggregation."""

    def __init__(self, encoder: Any, width: int, groups: int) -> None:
        super().__init__()
        self.encoder = encoder
        channels = [int(level["num_chs"]) for level in encoder.feature_info][-4:]
        self.emphasis = nn.ModuleList(
            nn.Sequential(ResidualBlock(c, width, groups), ResidualBlock(width, width, groups))
            for c in channels
        )
        self.aggregate = nn.ModuleList(
            nn.Sequential(ResidualBlock(2 * width, width, groups), ResidualBlock(width, width, groups))
            for _ in range(3)
        )

    def forward(self, rgb: Tensor) -> Tensor:
        """N×3×H×W to N×width×H/4×W/4."""
        features = self.encoder.forward_intermediates(rgb, intermediates_only=True)[-4:]
        levels = [emphasis(x) for emphasis, x in zip(self.emphasis, features, strict=True)]
        size = levels[0].shape[-2:]
        *finer, x = (functional.interpolate(level, size=size) for level in levels)
        for aggregate, level in zip(self.aggregate, reversed(finer), strict=True):
            x = aggregate(torch.cat([level, x], 1))
        return x


class FCBFormer(System):
    """Both branches joined at full size by a prediction head (Sanderson & Matuszewski 2022)."""

    def __init__(
        self,
        *,
        encoder: str = "pvt_v2_b3",
        width: int = 32,
        factors: Sequence[int] = (1, 1, 2, 2, 4, 4),
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        groups = min(32, width)
        net = backbone(encoder, encoder_weights=encoder_weights, pretrained=pretrained, num_classes=0)
        self.transformer = TransformerBranch(net, 2 * width, groups)
        self.convolutional = ConvolutionalBranch(width, factors)
        self.head = nn.Sequential(
            ResidualBlock(3 * width, 2 * width, groups),
            ResidualBlock(2 * width, 2 * width, groups),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        rgb = to_rgb(image)
        semantic = functional.interpolate(self.transformer(rgb), size=image.shape[-2:])
        logits = self.head(torch.cat([semantic, self.convolutional(rgb)], 1))
        return Outputs(mask_logits=logits.float())

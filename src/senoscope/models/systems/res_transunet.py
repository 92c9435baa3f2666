"""Res-TransUNet: a residual encoder, a transformer at the bottleneck, a residual U-Net decoder."""

from __future__ import annotations

from pathlib import Path

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.positions import add_positions, new_positions
from senoscope.models.blocks.pyramid import Pyramid
from senoscope.models.blocks.residual_conv import ResidualConv, ResidualUp
from senoscope.models.interface import Outputs, System


class ResTransUNet(System):
    """ResNet-50 (He et al. 2016), transformer layers over its stride-32 grid, residual decoder (Zhang et al. 2018).

    Where TransUNet (Chen et al. 2021) decodes by plain convolutions, every step here is a residual unit.
    """

    def __init__(
        self,
        *,
        encoder: str = "resnet50",
        dim: int = 512,
        depth: int = 8,
        heads: int = 8,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Pyramid(encoder, encoder_weights=encoder_weights, pretrained=pretrained)
        *skips, deep = self.encoder.channels
        self.embed = nn.Conv2d(deep, dim, 1)
        self.positions = new_positions(dim, 8)
        self.layers = nn.Sequential(
            *(Block(dim, heads, qkv_bias=True) for _ in range(depth)), nn.LayerNorm(dim)
        )
        widths = [max(8, dim >> step) for step in range(1, len(skips) + 2)]
        inputs = [dim, *widths]
        self.up = nn.ModuleList(
            ResidualUp(a, skip, b) for a, skip, b in zip(inputs, reversed(skips), widths, strict=False)
        )
        self.last = ResidualConv(widths[-2], widths[-1])
        self.mask = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        *skips, deep = self.encoder(image)
        grid = add_positions(self.embed(deep), self.positions)
        tokens = self.layers(grid.flatten(2).transpose(1, 2))
        x = torch.unflatten(tokens.transpose(1, 2), 2, grid.shape[2:])
        for up in self.up:
            x = up(x, skips.pop())
        x = self.last(functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))
        return Outputs(mask_logits=self.mask(x).float())

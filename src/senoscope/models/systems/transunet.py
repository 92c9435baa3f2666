"""TransUNet: a ResNet-50 and vision transformer encoder with a U-Net's decoder (Chen et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.layers.hybrid_embed import HybridEmbed
from timm.layers.norm_act import GroupNormAct
from timm.layers.std_conv import StdConv2dSame
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.positions import add_positions
from senoscope.models.blocks.unet import ConvNormAct, DoubleConv
from senoscope.models.interface import Outputs, System

_GRID = 14
"""Side of the token grid at the published 224×224."""


def _trunk(width: int, layers: Sequence[int]) -> ResNetV2:
    """The first three stages of a ResNet-50 with group norm and standardised weights, stride 16."""
    return ResNetV2(
        layers=list(layers),
        channels=(4 * width, 8 * width, 16 * width),
        stem_chs=width,
        num_classes=0,
        global_pool="",
        preact=False,
        stem_type="same",
        conv_layer=partial(StdConv2dSame, eps=1e-8),
        norm_layer=partial(GroupNormAct, num_groups=min(32, width)),
    )


class TransUNet(System):
    """R50-ViT-B/16: tokens of a ResNet's stride-16 features, twelve transformer layers, cascaded upsampler (Fig. 1).

    ``width`` is the stem's; the token positions learned for 14×14 are enlarged for other sizes of image.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        layers: Sequence[int] = (3, 4, 9),
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        decoder: Sequence[int] = (512, 256, 128, 64, 16),
        dropout: float = 0.1,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        vit: Any = backbone(
            "vit_base_r50_s16_224",
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            num_classes=0,
            global_pool="",
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            pos_drop_rate=dropout,
            proj_drop_rate=dropout,
            embed_layer=partial(HybridEmbed, backbone=_trunk(width, layers)),
        )
        vit.cls_token = None  # nothing is classified; its position goes too
        vit.pos_embed = nn.Parameter(vit.pos_embed[:, 1:].detach().clone())
        self.vit = vit
        self.neck = ConvNormAct(dim, decoder[0])
        skips = (8 * width, 4 * width, width, 0)
        steps = zip(decoder, skips, decoder[1:], strict=False)
        self.up = nn.ModuleList(DoubleConv(deep + skip, out) for deep, skip, out in steps)
        self.mask = nn.Conv2d(decoder[-1], 1, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        vit: Any = self.vit
        trunk = vit.patch_embed.backbone
        *skips, deep = trunk.forward_intermediates(to_rgb(image, 0.5, 0.5), intermediates_only=True)
        x = self.neck(self._attend(vit.patch_embed.proj(deep)))
        for convs in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
            x = convs(torch.cat([x, skips.pop()], 1) if skips else x)
        return Outputs(mask_logits=self.mask(x).float())

    def _attend(self, grid: Tensor) -> Tensor:
        """The transformer's layers over a grid N×C×h×w."""
        vit: Any = self.vit
        positions = vit.pos_embed.unflatten(1, (_GRID, _GRID)).permute(0, 3, 1, 2)
        tokens = vit.pos_drop(add_positions(grid, positions)).flatten(2).transpose(1, 2)
        tokens = vit.norm(vit.blocks(tokens))
        return torch.unflatten(tokens.transpose(1, 2), 2, grid.shape[2:])

"""CoAtUNet: a symmetric U-Net of CoAtNet's convolution and transformer stages (Zaidkilani et al.)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from timm.models.maxxvit import MaxxVitStage
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.unet import ConvNormAct, DoubleConv
from senoscope.models.interface import Outputs, System


class MirroredStage(nn.Module):
    """Enlarge twofold, join the skip, then blocks of the kind and number of the encoder's stage at that size."""

    def __init__(self, inputs: int, width: int, kind: str, depth: int, side: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, width, 1)
        self.join = ConvNormAct(2 * width, width, 1)
        self.blocks = MaxxVitStage(
            width,
            width,
            stride=1,
            depth=depth,
            feat_size=(side, side),
            block_types=kind,
            drop_path=[0.0] * depth,
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``x`` N×inputs×h×w and ``skip`` N×width×2h×2w to N×width×2h×2w."""
        x = functional.interpolate(self.narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        out: Tensor = self.blocks(self.join(torch.cat([x, skip], 1)))
        return out


class CoAtUNet(System):
    """CoAtNet encoder (Dai et al. 2021): two MBConv stages, two with relative attention; decoder mirrored, with skips.

    Built for images of ``image_size``: the relative positions follow from it.
    """

    def __init__(
        self,
        *,
        image_size: int = 224,
        encoder: str = "coatnet_0_rw_224",
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        net: Any = backbone(
            encoder,
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            num_classes=0,
            img_size=image_size,
        )
        net.prune_intermediate_layers(prune_norm=True)  # its last norm serves the class alone
        stem, *channels = (int(level["num_chs"]) for level in net.feature_info)
        stages = list(zip(channels, "CCTT", net.stages, strict=True))
        self.encoder = net
        self.up = nn.ModuleList()
        for level in (2, 1, 0):
            width, kind, stage = stages[level]
            side = image_size // (4 << level)
            self.up.append(MirroredStage(channels[level + 1], width, kind, len(stage.blocks), side))
        self.narrow = nn.Conv2d(channels[0], stem, 1)
        self.stem = DoubleConv(2 * stem, stem)
        self.mask = nn.Conv2d(stem, 1, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        encoder: Any = self.encoder
        *skips, x = encoder.forward_intermediates(to_rgb(image), intermediates_only=True)
        for up in self.up:
            x = up(x, skips.pop())
        x = functional.interpolate(self.narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        half = self.mask(self.stem(torch.cat([x, skips.pop()], 1)))
        logits = functional.interpolate(half, scale_factor=2.0, mode="bilinear", align_corners=False)
        return Outputs(mask_logits=logits.float())

"""DeepLabV3+ (Chen et al. 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from senoscope.models.blocks.aspp import ASPP
from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.separable import SeparableConv
from senoscope.models.blocks.unet import ConvNormAct, resize
from senoscope.models.interface import Outputs, System

RATES = (6, 12, 18)
"""Dilations at output stride 16."""


class DeepLabV3Plus(System):
    """Encoder at stride 16, atrous pyramid, and a decoder that adds the stride-4 features (Chen et al. 2018, Fig. 2).

    ``encoder`` is a timm network that can be dilated: "resnet101" and "xception65" are the paper's two. ``width`` is
    that of the pyramid and the decoder, ``low`` that of the stride-4 features.
    """

    def __init__(
        self,
        *,
        encoder: str = "resnet101",
        width: int = 256,
        low: int = 48,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        net: Any = backbone(
            encoder,
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            features_only=True,
            out_indices=(1, 4),
            output_stride=16,
        )
        fine, coarse = net.feature_info.channels()
        self.encoder = net
        self.aspp = ASPP(coarse, width, RATES)
        for index, rate in enumerate(RATES, 1):
            self.aspp.branches[index] = SeparableConv(coarse, width, rate)
        self.narrow = ConvNormAct(fine, low, 1)
        self.decoder = nn.Sequential(SeparableConv(width + low, width), SeparableConv(width, width))
        self.mask = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        fine, coarse = self.encoder(to_rgb(image))
        joined = torch.cat([resize(self.aspp(coarse), fine), self.narrow(fine)], 1)
        return Outputs(mask_logits=resize(self.mask(self.decoder(joined)).float(), image))

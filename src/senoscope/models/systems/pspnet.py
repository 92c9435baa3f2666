"""PSPNet (Zhao et al. 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.unet import ConvNormAct, resize
from senoscope.models.interface import Outputs, System

BINS = (1, 2, 3, 6)
"""Sides of the grids that the image's features are averaged over."""


class PyramidPooling(nn.Module):
    """Features beside their means over grids of 1, 2², 3² and 6² cells (Zhao et al. 2017, Fig. 3c).

    The 1×1 grid's branch has no batch norm: it is one location per image, too little to norm in a batch of one.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        narrow = inputs // len(BINS)
        whole = nn.Sequential(nn.Conv2d(inputs, narrow, 1), nn.ReLU(inplace=True))
        self.branches = nn.ModuleList([whole, *(ConvNormAct(inputs, narrow, 1) for _ in BINS[1:])])

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×h×w to about twice as many channels at the same size."""
        pooled = (functional.adaptive_avg_pool2d(x, bins) for bins in BINS)
        means = [resize(branch(cells), x) for branch, cells in zip(self.branches, pooled, strict=True)]
        return torch.cat([x, *means], 1)


def _head(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(ConvNormAct(inputs, width), nn.Dropout2d(0.1), nn.Conv2d(width, 1, 1))


class PSPNet(System):
    """A dilated ResNet at stride 8, pyramid pooling, one convolution; in training a second mask from the stage before.

    ``encoder`` is any timm ResNet (Zhao et al. 2017 use depths 50 to 269), ``width`` that of the last convolution.
    """

    def __init__(
        self,
        *,
        encoder: str = "resnet50",
        width: int = 512,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        net: Any = backbone(
            encoder,
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            features_only=True,
            out_indices=(3, 4),
            output_stride=8,
        )
        third, last = net.feature_info.channels()
        self.encoder = net
        self.pyramid = PyramidPooling(last)
        self.mask = _head(last + last // len(BINS) * len(BINS), width)
        self.early = _head(third, width // 2)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        third, last = self.encoder(to_rgb(image))
        logits = resize(self.mask(self.pyramid(last)).float(), image)
        if not self.training:
            return Outputs(mask_logits=logits)
        early = Outputs(mask_logits=resize(self.early(third).float(), image))
        return Outputs(mask_logits=logits, auxiliary=(early,))

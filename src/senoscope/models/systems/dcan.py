"""DCAN, the deep contour-aware network (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.unet import ConvNormAct
from senoscope.models.blocks.vgg import load_vgg16, vgg16_layers
from senoscope.models.interface import Outputs, System

STRIDES = (8, 16, 32)
"""Of the three depths that are enlarged at once to the image's size."""


class _Branch(nn.ModuleList):
    """Logits from each of the three depths: 1×1 convolution, dropout, one learnt enlargement."""

    def __init__(self, channels: Sequence[int], width: int, dropout: float) -> None:
        super().__init__(
            nn.Sequential(
                nn.Conv2d(inputs, width, 1),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.ConvTranspose2d(width, 1, 2 * stride, stride, stride // 2),
            )
            for inputs, stride in zip(channels, STRIDES, strict=True)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [part(x).float() for part, x in zip(self, features, strict=True)]


class DCAN(System):
    """VGG-16's convolutions; objects and their contours each drawn from three depths (Chen et al. 2016, Fig. 3).

    ``context`` is the width of a last convolution at stride 32, ``width`` that of each depth before it is enlarged.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        context: int = 1024,
        width: int = 32,
        dropout: float = 0.5,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = vgg16_layers(widths, norm=True)
        load_vgg16(self.encoder, norm=True, encoder_weights=encoder_weights, pretrained=pretrained)
        self.context = ConvNormAct(widths[-1], context)
        channels = (widths[2], widths[3], context)
        self.object = _Branch(channels, width, dropout)
        self.contour = _Branch(channels, width, dropout)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask and contour logits N×1×H×W; in training also those of each depth."""
        x, features = to_rgb(image), []
        for layer in self.encoder:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                features.append(x)
        features = [features[2], features[3], self.context(x)]
        masks, contours = self.object(features), self.contour(features)
        each = zip(masks, contours, strict=True) if self.training else ()
        return Outputs(
            mask_logits=torch.stack(masks).sum(0),
            contour_logits=torch.stack(contours).sum(0),
            auxiliary=tuple(Outputs(mask_logits=m, contour_logits=c) for m, c in each),
        )

"""Dual-branch network: one encoder, a segmentation branch and a classification branch (Zhang et al.)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.pooled import pooled
from senoscope.models.blocks.unet import Up, resize
from senoscope.models.interface import Outputs, System


class DualBranch(System):
    """A pretrained encoder whose features feed a U-Net decoder (mask) and global average pooling (class)."""

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder: str = "resnet34",
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        net: Any = backbone(
            encoder, encoder_weights=encoder_weights, pretrained=pretrained, features_only=True
        )
        self.encoder: nn.Module = net
        widths: list[int] = net.feature_info.channels()
        self.up = nn.ModuleList(Up(a, b, b) for a, b in pairwise(widths[::-1]))
        self.mask = nn.Conv2d(widths[0], 1, 3, padding=1)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits, their activation map and mask logits N×1×H×W."""
        features = self.encoder(to_rgb(image))
        x = features[-1]
        for up, skip in zip(self.up, features[-2::-1], strict=True):
            x = up(x, skip)
        outline = resize(self.mask(x).float(), image)
        return pooled(features[-1], self.classifier)._replace(mask_logits=outline)

"""EDCNN: MobileNet and Xception vote on the class, a U-Net beside them draws the mask (Islam et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.pooled import pooled
from senoscope.models.interface import Outputs, System
from senoscope.models.systems.unet import UNet


class EDCNN(System):
    """Mean of the logits of two pretrained classifiers, and a U-Net that shares nothing with them (Islam et al. 2024).

    ``encoder_weights`` is a file of the second member's weights (Xception's); both members' come with ``pretrained``.
    """

    def __init__(
        self,
        classes: int = 3,
        *,
        members: Sequence[str] = ("mobilenetv1_100", "legacy_xception"),
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        files = (None, encoder_weights)
        nets: list[Any] = [
            backbone(name, encoder_weights=file, pretrained=pretrained, num_classes=0, global_pool="")
            for name, file in zip(members, files, strict=True)
        ]
        self.encoders = nn.ModuleList(nets)
        self.classifier, self.second = (nn.Linear(net.num_features, classes) for net in nets)
        self.segmenter = UNet(widths=widths)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits, their activation map and mask logits N×1×H×W."""
        rgb = to_rgb(image)
        # Both members halve the image five times, so their maps are of one size and the mean's map is the maps' mean.
        one, other = (
            pooled(encoder(rgb), classifier)
            for encoder, classifier in zip(self.encoders, (self.classifier, self.second), strict=True)
        )
        parts = [
            (a + b) / 2
            for a, b in zip(one[:4], other[:4], strict=True)
            if isinstance(a, Tensor) and isinstance(b, Tensor)
        ]
        logits, evidence, share = parts
        outline: Outputs = self.segmenter(image)
        members = (Outputs(class_logits=one.class_logits), Outputs(class_logits=other.class_logits))
        return Outputs(
            logits, outline.mask_logits, evidence, share, auxiliary=members if self.training else ()
        )

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to both members' logits, and so to their mean."""
        for classifier in (self.classifier, self.second):
            bias: Tensor = classifier.bias
            bias += offset.to(bias)

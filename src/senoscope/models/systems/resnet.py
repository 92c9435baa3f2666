"""ResNet classifiers (He et al. 2016), as Das & Rana trained them on BUSI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.pooled import pooled
from senoscope.models.interface import Outputs, System


class ResNet(System):
    """A ResNet of timm's, global average pooling, one linear layer (He et al. 2016, Table 1)."""

    encoder: Any

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder: str = "resnet18",
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = backbone(
            encoder, encoder_weights=encoder_weights, pretrained=pretrained, num_classes=0, global_pool=""
        )
        self.classifier = nn.Linear(self.encoder.num_features, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and their activation map."""
        return pooled(self.encoder(to_rgb(image)), self.classifier)

"""EfficientNet-B0 as a classifier of mammograms, or any other timm encoder in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.mobilenet import expanded_mobilenet
from senoscope.models.blocks.pooled import pooled
from senoscope.models.interface import Outputs, System


class EfficientNetB0(System):
    """EfficientNet-B0, global average pooling, one linear layer (Tan & Le 2019, Table 1).

    ``encoder`` may name another network of timm: a convolutional one, or a vision transformer (``vit_…``), which is
    built for ``image_size`` and has no class map. ``channels`` 3 takes colour photographs, N×3×H×W.
    """

    encoder: Any
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classes: int = 3,
        *,
        image_size: int = 224,
        encoder: str = "efficientnet_b0",
        channels: int = 1,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        given: dict[str, Any] = {
            "encoder_weights": encoder_weights,
            "pretrained": pretrained,
            "num_classes": 0,
        }
        self.looks_everywhere = encoder.startswith("vit_")
        if self.looks_everywhere:
            given["img_size"] = image_size
        self.encoder = (
            expanded_mobilenet(**given) if encoder == "mobilenetv2_100" else backbone(encoder, **given)
        )
        for key in ("mean", "std"):
            values = torch.tensor(self.encoder.pretrained_cfg[key])
            usual = values if channels == 3 else values.mean(0, keepdim=True)
            self.register_buffer(key, usual[:, None, None], persistent=False)
        self.classifier = nn.Linear(self.encoder.num_features, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×channels×H×W in 0..1 to class logits and, of a convolutional network, their activation map."""
        colour = ((image - self.mean) / self.std).expand(-1, 3, -1, -1)
        features = self.encoder.forward_features(colour)
        if self.looks_everywhere:
            token = self.encoder.forward_head(features, pre_logits=True)
            return Outputs(class_logits=self.classifier(token).float())
        return pooled(features, self.classifier)

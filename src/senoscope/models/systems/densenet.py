"""DenseNet classifiers (Huang et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.pooled import pooled
from senoscope.models.interface import Outputs, System


class DenseNet(System):
    """A DenseNet of timm's, global average pooling, one linear layer (Huang et al. 2017, Table 1).

    ``layers`` of each dense block are the encoder's own if not given; ``growth`` is the channels that each layer adds.
    """

    encoder: Any

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder: str = "densenet121",
        layers: Sequence[int] | None = None,
        growth: int = 32,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        shape = {} if layers is None else {"block_config": tuple(layers)}
        self.encoder = backbone(
            encoder,
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            num_classes=0,
            global_pool="",
            growth_rate=growth,
            **shape,
        )
        self.classifier = nn.Linear(self.encoder.num_features, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and their activation map."""
        return pooled(self.encoder(to_rgb(image)), self.classifier)

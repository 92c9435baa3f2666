"""BUViTNet: a vision transformer brought to breast ultrasound in several steps of transfer (Ayana & Choe 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.interface import Outputs, System


class BUViTNet(System):
    """A vision transformer (Dosovitskiy et al. 2021, Fig. 1) whose class token goes to one linear layer.

    It starts from ImageNet (``encoder_weights`` or ``pretrained``), learns a medical set in between, and then breast
    ultrasound from the weights of that training: the recipe's ``init_weights``.
    """

    encoder: Any

    def __init__(
        self,
        classes: int = 3,
        *,
        image_size: int = 224,
        encoder: str = "vit_base_patch16_224",
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = backbone(
            encoder,
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            num_classes=0,
            img_size=image_size,
        )
        self.classifier = nn.Linear(self.encoder.num_features, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits."""
        token = self.encoder(to_rgb(image, 0.5, 0.5))  # timm's vision transformers were trained so
        return Outputs(class_logits=self.classifier(token).float())

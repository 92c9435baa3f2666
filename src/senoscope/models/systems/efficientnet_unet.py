"""EfficientNet-B0 encoder with a U-Net decoder, for tumours in mammograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from senoscope.models.blocks.pyramid import Pyramid
from senoscope.models.interface import Outputs, System


class EfficientNetUNet(System):
    """The five stages of EfficientNet-B0 (Tan & Le 2019, Table 1) into the U-Net decoder of Segmentation Models.

    ``encoder`` is any timm encoder with stages at strides 2 to 32; ``widths`` are the decoder's, coarse to fine.
    """

    def __init__(
        self,
        *,
        encoder: str = "efficientnet_b0",
        widths: Sequence[int] = (256, 128, 64, 32, 16),
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Pyramid(encoder, encoder_weights=encoder_weights, pretrained=pretrained)
        self.decoder: Any = UnetDecoder((1, *self.encoder.channels), tuple(widths))
        self.mask = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        decoded = self.decoder([image, *self.encoder(image)])
        return Outputs(mask_logits=self.mask(decoded).float())

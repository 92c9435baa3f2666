"""FCN-32s (Long, Shelhamer & Darrell 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.unet import resize
from senoscope.models.blocks.vgg import load_vgg16, vgg16_layers
from senoscope.models.interface import Outputs, System


class FCN32s(System):
    """VGG-16 with its dense layers as convolutions, scored every 32 pixels (Long et al. 2015, Fig. 3, first row).

    ``dense`` is the width of fc6 and fc7.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        dense: int = 4096,
        dropout: float = 0.5,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = vgg16_layers(widths, norm=False)
        fc6, fc7 = nn.Conv2d(widths[-1], dense, 7, padding=3), nn.Conv2d(dense, dense, 1)
        load_vgg16(self.encoder, fc6, fc7, norm=False, encoder_weights=encoder_weights, pretrained=pretrained)
        self.dense = nn.Sequential(
            fc6, nn.ReLU(inplace=True), nn.Dropout(dropout), fc7, nn.ReLU(inplace=True), nn.Dropout(dropout)
        )
        self.score = nn.Conv2d(dense, 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; sides are multiples of 32."""
        score = self.score(self.dense(self.encoder(to_rgb(image))))
        return Outputs(mask_logits=resize(score.float(), image))

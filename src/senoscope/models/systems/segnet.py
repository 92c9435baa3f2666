"""SegNet (Badrinarayanan et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.unet import ConvNormAct
from senoscope.models.blocks.vgg import DEPTHS, load_vgg16, vgg16_layers
from senoscope.models.interface import Outputs, System


class SegNet(System):
    """VGG-16 whose poolings remember where each maximum was, and its mirror image (Badrinarayanan et al. 2017, Fig. 2).

    The decoder puts its values back to the remembered places, zeros between them, and convolves; no other skips.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = vgg16_layers(widths, norm=True)
        load_vgg16(self.encoder, norm=True, encoder_weights=encoder_weights, pretrained=pretrained)
        self.decoder = nn.ModuleList()
        for stage in range(len(widths) - 1, -1, -1):
            width, after = widths[stage], widths[stage - 1]
            convs = [ConvNormAct(width, width) for _ in range(DEPTHS[stage] - 1)]
            if stage:
                convs.append(ConvNormAct(width, after))
            self.decoder.append(nn.Sequential(*convs))
        self.mask = nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; sides are multiples of 32."""
        x, places = to_rgb(image), []
        for layer in self.encoder:
            if isinstance(layer, nn.MaxPool2d):
                x, place = functional.max_pool2d(x, 2, return_indices=True)
                places.append(place)
            else:
                x = layer(x)
        for convs, place in zip(self.decoder, reversed(places), strict=True):
            x = convs(functional.max_unpool2d(x, place, [2, 2]))
        return Outputs(mask_logits=self.mask(x).float())

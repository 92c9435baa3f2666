"""DenseUNet-167, the two-dimensional part of H-DenseUNet (Li et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.unet import ConvNormAct
from senoscope.models.interface import Outputs, System


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class DenseUNet(System):
    """DenseNet-161 and a decoder that adds, not joins, the skips (Li et al. 2018, Table I, DenseUNet-167).

    ``growth`` and ``depths`` are DenseNet's: channels of each layer, layers of each block. ``last`` is the width of the
    decoder's finest convolution.
    """

    def __init__(
        self,
        *,
        growth: int = 48,
        depths: Sequence[int] = (6, 12, 36, 24),
        last: int = 64,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        net: Any = backbone(
            "densenet161",
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            num_classes=0,
            growth_rate=growth,
            block_config=tuple(depths),
        )
        self.encoder: nn.Sequential = net.features
        self.taps = ("norm0", "denseblock1", "denseblock2", "denseblock3")
        stem, block1, block2, block3, whole = (info["num_chs"] for info in net.feature_info)
        self.match = nn.Conv2d(block3, whole, 1)  # the one skip whose width is not the decoder's
        ways = ((whole, block2), (block2, block1), (block1, stem), (stem, stem))
        self.up = nn.ModuleList(ConvNormAct(a, b) for a, b in ways)
        self.finest = nn.Sequential(ConvNormAct(stem, last), nn.Dropout2d(0.3))
        self.mask = nn.Conv2d(last, 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; sides are multiples of 32."""
        x, skips = to_rgb(image), []
        for name, layer in self.encoder.named_children():
            x = layer(x)
            if name in self.taps:
                skips.append(x)
        skips[-1] = self.match(skips[-1])
        for convolve, skip in zip(self.up, reversed(skips), strict=True):
            x = convolve(_twice(x) + skip)
        return Outputs(mask_logits=self.mask(self.finest(_twice(x))).float())

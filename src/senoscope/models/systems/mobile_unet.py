"""Mobile-UNet: a U-Net of MobileNetV2 blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from timm.models._efficientnet_blocks import InvertedResidual
from torch import Tensor, nn

from senoscope.models.blocks.pyramid import Pyramid
from senoscope.models.interface import Outputs, System


class _Up(nn.Module):
    """Deconvolution, the encoder's skip, an inverted residual block (Sandler et al. 2018, Fig. 3)."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.block = InvertedResidual(outputs + skip, outputs, exp_ratio=6.0, act_layer=nn.ReLU6)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.enlarge(x)
        out: Tensor = self.block(x if skip is None else torch.cat([x, skip], 1))
        return out


class MobileUNet(System):
    """MobileNetV2's features and five deconvolutions with skips (Jing et al. 2020), depthwise-separable throughout.

    ``widths`` are the decoder's, coarse to fine.
    """

    def __init__(
        self,
        *,
        encoder: str = "mobilenetv2_100",
        widths: Sequence[int] = (96, 32, 24, 16, 16),
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Pyramid(encoder, encoder_weights=encoder_weights, pretrained=pretrained)
        *skips, deepest = self.encoder.channels
        inputs = (deepest, *widths)
        self.up = nn.ModuleList(
            _Up(a, skip, b) for a, skip, b in zip(inputs, (*skips[::-1], 0), widths, strict=False)
        )
        self.mask = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        *skips, x = self.encoder(image)
        for step, skip in zip(self.up, (*skips[::-1], None), strict=True):
            x = step(x, skip)
        return Outputs(mask_logits=self.mask(x).float())

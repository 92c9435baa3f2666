"""DDA-AttResUNet: a residual U-Net with two attention decoders (Hekal et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.residual_conv import ResidualConv, ResidualUp
from senoscope.models.interface import Outputs, System


class _Gate(nn.Module):
    """Attention gate: the coarser features say which locations of the skip pass (Oktay et al. 2018, Fig. 2)."""

    def __init__(self, coarse: int, skip: int) -> None:
        super().__init__()
        between = max(skip // 2, 1)
        self.coarse = nn.Conv2d(coarse, between, 1)
        self.skip = nn.Conv2d(skip, between, 2, stride=2, bias=False)
        self.share = nn.Conv2d(between, 1, 1)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """``coarse`` N×C×h×w and ``skip`` N×S×2h×2w to the gated skip."""
        share = self.share(torch.relu(self.coarse(coarse) + self.skip(skip))).sigmoid()
        return skip * functional.interpolate(share, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Decoder(nn.Module):
    """Residual units with gated skips, from the bridge up to the finest features."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.gates = nn.ModuleList(_Gate(deep, shallow) for deep, shallow in pairs)
        self.up = nn.ModuleList(ResidualUp(deep, shallow, shallow) for deep, shallow in pairs)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for gate, up, skip in zip(self.gates, self.up, features[-2::-1], strict=True):
            x = up(x, gate(x, skip))
        return x


class DDAAttResUNet(System):
    """One residual encoder, a decoder for the tumour and one for its surroundings (Hekal et al. 2024).

    The mask is a 1×1 convolution over both decoders' features. While training each decoder also draws for itself: the
    first the tumour, the second all that is not.
    """

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.down = nn.ModuleList(ResidualConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.tumour, self.context = _Decoder(widths), _Decoder(widths)
        self.tumour_mask, self.context_mask = nn.Conv2d(widths[0], 1, 1), nn.Conv2d(widths[0], 1, 1)
        self.mask = nn.Conv2d(2 * widths[0], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x, features = image, []
        for index, unit in enumerate(self.down):
            x = unit(functional.max_pool2d(x, 2) if index else x)
            features.append(x)
        tumour, context = self.tumour(features), self.context(features)
        logits = self.mask(torch.cat([tumour, context], 1)).float()
        if not self.training:
            return Outputs(mask_logits=logits)
        own = self.tumour_mask(tumour).float(), -self.context_mask(context).float()
        return Outputs(mask_logits=logits, auxiliary=tuple(Outputs(mask_logits=part) for part in own))

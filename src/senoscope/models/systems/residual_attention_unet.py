"""Residual attention U-Net (Zhao & Dai 2022)."""

from __future__ import annotations

from collections.abc import Sequence

from timm.layers.cbam import ChannelAttn, SpatialAttn
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.residual_conv import ResidualConv, ResidualUp
from senoscope.models.interface import Outputs, System


class FusedAttention(nn.Module):
    """Channel and spatial attention (Woo et al. 2018, Fig. 2) side by side, summed, around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelAttn(channels, rd_ratio=1 / 8)
        self.spatial = SpatialAttn()

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same, weighted."""
        out: Tensor = x + self.channel(x) + self.spatial(x)
        return out


class ResidualAttentionUNet(System):
    """A U-Net of residual units whose skips pass fused channel and spatial attention (Zhao & Dai 2022)."""

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.down = nn.ModuleList(ResidualConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.attention = nn.ModuleList(FusedAttention(width) for width in widths[:-1])
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(ResidualUp(deep, shallow, shallow) for deep, shallow in pairs)
        self.mask = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x, found = image, []
        for index, unit in enumerate(self.down):
            x = unit(functional.max_pool2d(x, 2) if index else x)
            found.append(x)
        skips = [attend(skip) for attend, skip in zip(self.attention, found, strict=False)]
        for step, skip in zip(self.up, skips[::-1], strict=True):
            x = step(x, skip)
        return Outputs(mask_logits=self.mask(x).float())

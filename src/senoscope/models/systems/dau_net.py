"""DAU-Net, the dual attention-aided U-Net (Pramanik et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.layers.cbam import CbamModule
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.swin_transformer import SwinTransformerBlock

from senoscope.models.blocks.residual_conv import ResidualConv, ResidualUp
from senoscope.models.interface import Outputs, System


class PositionAttention(nn.Module):
    """Every location looks at all others (Fu et al. 2019, Fig. 3a), at their means over ``pool``×``pool`` pixels."""

    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.query = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.key = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        seen = functional.avg_pool2d(x, self.pool)
        query, key, value = (part.flatten(2) for part in (self.query(x), self.key(seen), self.value(seen)))
        share = (query.transpose(1, 2) @ key).softmax(2)  # N × all locations × those seen
        out: Tensor = x + self.strength * (value @ share.transpose(1, 2)).view_as(x)
        return out


class PCBAM(nn.Module):
    """CBAM (Woo et al. 2018) and position attention side by side, summed (Pramanik et al. 2024)."""

    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.cbam = CbamModule(channels, rd_ratio=1 / 8)
        self.position = PositionAttention(channels, pool)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W to the same."""
        out: Tensor = self.cbam(x) + self.position(x)
        return out


class DAUNet(System):
    """A residual U-Net with PCBAM in its encoder and shifted-window attention at its bottom (Pramanik et al. 2024)."""

    def __init__(
        self, *, widths: Sequence[int] = (64, 128, 256, 512), heads: int = 8, window: int = 7
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(ResidualConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        pools = [2 ** (len(widths) - 1 - depth) for depth in range(len(widths) - 1)]
        self.attention = nn.ModuleList(PCBAM(width, pool) for width, pool in zip(widths, pools, strict=False))
        self.bottom = nn.Sequential(
            *(
                SwinTransformerBlock(widths[-1], heads, [window] * 2, [shift] * 2)
                for shift in (0, window // 2)
            )
        )
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(ResidualUp(deep, shallow, shallow) for deep, shallow in pairs)
        self.mask = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x, skips = image, []
        for unit, attend in zip(self.down, self.attention, strict=False):
            x = attend(unit(x))
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.down[-1](x)
        x = self.bottom(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        for step, skip in zip(self.up, skips[::-1], strict=True):
            x = step(x, skip)
        return Outputs(mask_logits=self.mask(x).float())

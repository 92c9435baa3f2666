"""U-Net with salient attention (Vakanski, Xian & Freer 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.saliency import dark_saliency
from senoscope.models.blocks.unet import DoubleConv, Up
from senoscope.models.interface import Outputs, System


class SalientAttention(nn.Module):
    """Features times a weight per location that features and saliency decide together (an additive gate)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, channels // 2, 1)
        self.saliency = nn.Conv2d(1, channels // 2, 1)
        self.weight = nn.Conv2d(channels // 2, 1, 1)

    def forward(self, x: Tensor, saliency: Tensor) -> Tensor:
        """``x`` N×C×h×w and ``saliency`` N×1×h×w to N×C×h×w."""
        weight = self.weight(functional.relu(self.features(x) + self.saliency(saliency))).sigmoid()
        out: Tensor = x * weight
        return out


class SaliencyAttentionUNet(System):
    """A U-Net with an attention block steered by a saliency map after each of its four first depths."""

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.attention = nn.ModuleList(SalientAttention(width) for width in widths[:-1])
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(Up(deep, shallow, shallow) for deep, shallow in pairs)
        self.mask = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x, saliency, skips = image, dark_saliency(image).to(image.dtype), []
        for block, attend in zip(self.down, self.attention, strict=False):
            x = attend(block(x), saliency)
            skips.append(x)
            x, saliency = functional.max_pool2d(x, 2), functional.max_pool2d(saliency, 2)
        x = self.down[-1](x)
        for block, skip in zip(self.up, skips[::-1], strict=True):
            x = block(x, skip)
        return Outputs(mask_logits=self.mask(x).float())

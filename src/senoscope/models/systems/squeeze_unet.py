"""Squeeze U-Net (Beheshti & Johnsson 2020): a U-Net of SqueezeNet's fire modules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import ConvNormAct
from senoscope.models.interface import Outputs, System


class Fire(nn.Module):
    """Squeeze by a 1×1 convolution, expand by 1×1 and 3×3 ones side by side (Iandola et al. 2016, Fig. 1)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        squeezed = max(4, outputs // 8)
        self.squeeze = ConvNormAct(inputs, squeezed, 1)
        self.expand = nn.ModuleList(ConvNormAct(squeezed, outputs // 2, size) for size in (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W to N×outputs×H×W."""
        x = self.squeeze(x)
        return torch.cat([branch(x) for branch in self.expand], 1)


class FireUp(nn.Module):
    """A fire module whose two expansions are transposed convolutions, 2×2 and 4×4, that double the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        squeezed = max(4, outputs // 8)
        self.squeeze = ConvNormAct(inputs, squeezed, 1)
        self.expand = nn.ModuleList(
            nn.ConvTranspose2d(squeezed, outputs // 2, size, stride=2, padding=size // 2 - 1, bias=False)
            for size in (2, 4)
        )
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×h×w to N×outputs×2h×2w."""
        x = self.squeeze(x)
        return functional.relu(self.norm(torch.cat([branch(x) for branch in self.expand], 1)))


class SqueezeUNet(System):
    """A U-Net with fire modules going down and transposed ones coming up (Beheshti & Johnsson 2020)."""

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        first, *rest = widths
        self.stem = nn.Sequential(ConvNormAct(1, first), ConvNormAct(first, first))
        self.down = nn.ModuleList(
            nn.Sequential(Fire(a, b), Fire(b, b)) for a, b in zip(widths, rest, strict=False)
        )
        pairs = list(zip(rest[::-1], widths[-2::-1], strict=True))
        self.enlarge = nn.ModuleList(FireUp(deep, shallow) for deep, shallow in pairs)
        self.up = nn.ModuleList(
            nn.Sequential(Fire(2 * shallow, shallow), Fire(shallow, shallow)) for _, shallow in pairs
        )
        self.mask = nn.Conv2d(first, 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x = self.stem(image)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(functional.max_pool2d(x, 2))
        for enlarge, block, skip in zip(self.enlarge, self.up, skips[::-1], strict=True):
            x = block(torch.cat([skip, enlarge(x)], 1))
        return Outputs(mask_logits=self.mask(x).float())

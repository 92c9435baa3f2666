"""Deep residual U-Net (Zhang, Liu & Wang 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.interface import Outputs, System


class PreActivation(nn.Module):
    """Batch norm, ReLU and 3×3 convolution, twice, beside a shortcut (Zhang et al. 2018, Fig. 1b).

    ``first`` leaves the first norm and ReLU out, as the unit that sees the image does.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, first: bool = False) -> None:
        super().__init__()
        self.start = nn.Sequential() if first else nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.convs = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W to N×outputs×H/stride×W/stride."""
        out: Tensor = self.convs(self.start(x)) + self.shortcut(x)
        return out


class ResUNet(System):
    """Seven residual units in a U: three down, a bridge, three up (Zhang et al. 2018, Fig. 2 and Table I)."""

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.first = PreActivation(1, widths[0], first=True)
        self.down = nn.ModuleList(PreActivation(fine, deep, 2) for fine, deep in steps)
        self.up = nn.ModuleList(PreActivation(deep + fine, fine) for fine, deep in reversed(steps))
        self.mask = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x = self.first(image)
        skips = []
        for unit in self.down:
            skips.append(x)
            x = unit(x)
        for unit, skip in zip(self.up, reversed(skips), strict=True):
            x = unit(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        return Outputs(mask_logits=self.mask(x).float())

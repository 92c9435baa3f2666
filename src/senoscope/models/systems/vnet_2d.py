"""V-Net (Milletari, Navab & Ahmadi 2016) with two-dimensional convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from senoscope.models.interface import Outputs, System

DEPTHS = (1, 2, 3, 3, 3)
"""Convolutions of each stage, finest first; on the way up a stage has as many as the one whose skip it takes."""


def _norm_act(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.PReLU(width)]


class Residual(nn.Module):
    """``depth`` 5×5 convolutions whose result is added to what came in; the last activation follows the sum."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [
                nn.Conv2d(outputs if index else inputs, outputs, 5, padding=2, bias=False),
                *_norm_act(outputs),
            ]
        self.convs = nn.Sequential(*layers[:-1])
        self.act = layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W to N×outputs×H×W; one input channel is added to all."""
        out: Tensor = self.act(self.convs(x) + x)
        return out


class VNet2d(System):
    """Residual stages of 5×5 convolutions with strided ones between them (Milletari et al. 2016, Fig. 2)."""

    def __init__(self, *, widths: Sequence[int] = (16, 32, 64, 128, 256)) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        depths = DEPTHS[: len(widths)]
        self.first = Residual(1, widths[0], depths[0])
        self.halve = nn.ModuleList(nn.Sequential(nn.Conv2d(a, b, 2, 2), *_norm_act(b)) for a, b in steps)
        self.down = nn.ModuleList(Residual(b, b, d) for (_, b), d in zip(steps, depths[1:], strict=True))
        self.twice, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = widths[-1]
        for (fine, _), depth in zip(reversed(steps), depths[-2::-1], strict=True):
            self.twice.append(nn.Sequential(nn.ConvTranspose2d(inputs, fine, 2, 2), *_norm_act(fine)))
            self.up.append(Residual(2 * fine, 2 * fine, depth))
            inputs = 2 * fine
        self.mask = nn.Conv2d(inputs, 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x = self.first(image)
        skips = []
        for halve, stage in zip(self.halve, self.down, strict=True):
            skips.append(x)
            x = stage(halve(x))
        for twice, stage, skip in zip(self.twice, self.up, reversed(skips), strict=True):
            x = stage(torch.cat([twice(x), skip], 1))
        return Outputs(mask_logits=self.mask(x).float())

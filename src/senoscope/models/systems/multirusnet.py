"""MultiRUSNet: a U-Net of residual units that outlines and classifies (Mishra et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.residual_conv import ResidualConv, ResidualUp
from senoscope.models.interface import Outputs, System


class MultiRUSNet(System):
    """Residual encoder, bridge and decoder for the mask; a dense branch on features of every level for the class."""

    def __init__(
        self,
        classes: int = 3,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        bridge: int = 1024,
        hidden: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(ResidualConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.bridge = ResidualConv(widths[-1], bridge)
        self.up = nn.ModuleList(ResidualUp(a, b, b) for a, b in pairwise((bridge, *widths[::-1])))
        self.mask = nn.Conv2d(widths[0], 1, 1)
        self.dense = nn.Sequential(
            nn.Linear(2 * sum(widths) + bridge, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout)
        )
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and mask logits N×1×H×W."""
        x, levels = image, []
        for unit in self.down:
            levels.append(unit(x))
            x = functional.max_pool2d(levels[-1], 2)
        skips = levels[::-1]
        levels.append(self.bridge(x))
        for up, skip in zip(self.up, skips, strict=True):
            levels.append(up(levels[-1], skip))
        means = torch.cat([level.mean((2, 3)) for level in levels], 1)
        logits = self.classifier(self.dense(means))
        return Outputs(class_logits=logits.float(), mask_logits=self.mask(levels[-1]).float())

"""U-Net++ (Zhou et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import DoubleConv, Up
from senoscope.models.interface import Outputs, System


class UNetPlusPlus(System):
    """A U-Net whose skips are filled with nested, densely joined convolutions (Zhou et al. 2018, Fig. 1a).

    Node (i, j) takes all nodes before it on its level i and the enlarged node (i + 1, j - 1). All finest nodes draw
    a mask; in use the answer is the mean of their probabilities (the paper's accurate mode).
    """

    def __init__(self, *, widths: Sequence[int] = (32, 64, 128, 256, 512)) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.columns = nn.ModuleList(
            nn.ModuleList(Up(widths[i + 1], j * widths[i], widths[i]) for i in range(len(widths) - j))
            for j in range(1, len(widths))
        )
        self.masks = nn.ModuleList(nn.Conv2d(widths[0], 1, 1) for _ in self.columns)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; in training one mask per column, the last one first."""
        levels: list[list[Tensor]] = []
        x = image
        for index, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if index else x)
            levels.append([x])
        for j, column in enumerate(self.columns, 1):
            nodes: Any = column
            for i, node in enumerate(nodes):
                levels[i].append(node(levels[i + 1][j - 1], torch.cat(levels[i], 1)))
        logits = [head(x).float() for head, x in zip(self.masks, levels[0][1:], strict=True)]
        if self.training:
            return Outputs(
                mask_logits=logits[-1], auxiliary=tuple(Outputs(mask_logits=x) for x in logits[:-1])
            )
        return Outputs(mask_logits=torch.stack(logits).sigmoid().mean(0).logit(1e-6))

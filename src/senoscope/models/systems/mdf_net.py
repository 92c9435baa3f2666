"""MDF-Net, the multi-scale dynamic fusion network (Qi et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import ConvNormAct, DoubleConv, Up, resize
from senoscope.models.interface import Outputs, System


class Trunk(nn.Module):
    """U-Net++ (Zhou et al. 2018, Fig. 1) whose nodes join only the node before and the one below, not all before."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        pairs = list(zip(widths[1:], widths, strict=False))
        # column j of the grid: one node per row that still has one below it
        self.columns = nn.ModuleList(
            nn.ModuleList(Up(deep, shallow, shallow) for deep, shallow in pairs[: len(pairs) - j])
            for j in range(len(pairs))
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image N×1×H×W to the last node of each row, N×width×h×w, finest first."""
        column: list[Tensor] = []
        for index, block in enumerate(self.down):
            column.append(block(functional.max_pool2d(column[-1], 2) if index else image))
        last = [column[-1]]
        for nodes in self.columns:
            assert isinstance(nodes, nn.ModuleList)  # noqa: S101 - for the type checker
            column = [
                node(below, beside) for node, beside, below in zip(nodes, column, column[1:], strict=False)
            ]
            last.insert(0, column[-1])
        return last


class DynamicFusion(nn.Module):
    """Features and first drawing of one scale joined to the coarser scales' by weights that each location chooses."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.own = ConvNormAct(inputs + 1, width)
        self.choice = nn.Conv2d(2 * width, 2, 1)
        self.convs = DoubleConv(width, width)

    def forward(self, features: Tensor, drawn: Tensor, coarser: Tensor) -> Tensor:
        """Features N×C×h×w, logits N×1×h×w and coarser features N×width×h/2×w/2 to N×width×h×w."""
        own = self.own(torch.cat([features, drawn.sigmoid()], 1))
        coarser = resize(coarser, own)
        share = self.choice(torch.cat([own, coarser], 1)).softmax(1)
        out: Tensor = self.convs(share[:, :1] * own + share[:, 1:] * coarser)
        return out


class MDFNet(System):
    """A trunk that draws at every scale and a second stage that fuses and redraws (Qi et al. 2023)."""

    def __init__(self, *, widths: Sequence[int] = (32, 64, 128, 256, 512), refinement: int = 32) -> None:
        super().__init__()
        self.trunk = Trunk(widths)
        self.drawn = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)
        self.coarsest = ConvNormAct(widths[-1] + 1, refinement)
        self.fusion = nn.ModuleList(DynamicFusion(width, refinement) for width in widths[:-1])
        self.mask = nn.Conv2d(refinement, 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; in training also the trunk's at every scale."""
        features = self.trunk(image)
        drawn = [draw(x) for draw, x in zip(self.drawn, features, strict=True)]
        x = self.coarsest(torch.cat([features[-1], drawn[-1].sigmoid()], 1))
        for fuse, found, logits in zip(self.fusion[::-1], features[-2::-1], drawn[-2::-1], strict=True):
            x = fuse(found, logits, x)
        first = tuple(Outputs(mask_logits=logits.float()) for logits in drawn) if self.training else ()
        return Outputs(mask_logits=self.mask(x).float(), auxiliary=first)

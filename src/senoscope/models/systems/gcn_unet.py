"""A U-Net whose outline a graph convolution refines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.lattice import LatticeGraphConv
from senoscope.models.blocks.unet import ConvNormAct, DoubleConv, Up, resize
from senoscope.models.interface import Outputs, System


class GCNUNet(System):
    """A U-Net draws; a graph convolution over the pixels at half the size redraws where the U-Net is unsure.

    The idea of refining a boundary on a graph is e.g. Huang et al. 2022's (boundary-rendering network): choose what is
    ambiguous, pass messages between its points, correct. Here the choice is soft, 4p(1 − p) of the drawn
    probability p, so every step is differentiable and exports.
    """

    def __init__(
        self, *, widths: Sequence[int] = (32, 64, 128, 256, 512), nodes: int = 48, rounds: int = 3
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(Up(deep, shallow, shallow) for deep, shallow in pairs)
        self.drawn = nn.Conv2d(widths[0], 1, 1)
        self.node = ConvNormAct(widths[0] + widths[1], nodes, 1)
        self.graph = nn.Sequential(*(LatticeGraphConv(nodes) for _ in range(rounds)))
        self.correction = nn.Conv2d(nodes, 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; in training also those before refinement."""
        x, skips = image, []
        for index, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if index else x)
            skips.append(x)
        half = x
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            half, x = x, block(x, skip)
        drawn = self.drawn(x).float()
        nodes = self.node(torch.cat([functional.avg_pool2d(x, 2), half], 1))
        probability = drawn.sigmoid()
        unsure = 4 * probability * (1 - probability)
        refined = drawn + unsure * resize(self.correction(self.graph(nodes)).float(), drawn)
        before = (Outputs(mask_logits=drawn),) if self.training else ()
        return Outputs(mask_logits=refined, auxiliary=before)

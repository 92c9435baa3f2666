"""Connected-UNets (Baccouche et al. 2021): two U-Nets in a row, joined at every size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.aspp import ASPP
from senoscope.models.blocks.unet import ConvNormAct, DoubleConv, Up
from senoscope.models.interface import Outputs, System


class _UNet(nn.Module):
    """A U-Net with atrous pooling at its bottom; ``joined`` says how many channels of another come in at each size."""

    def __init__(self, inputs: int, widths: Sequence[int], joined: Sequence[int]) -> None:
        super().__init__()
        steps = zip((inputs, *widths), joined, widths, strict=False)
        self.down = nn.ModuleList(DoubleConv(a + more, b) for a, more, b in steps)
        self.context = ASPP(widths[-1], widths[-1])
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(Up(deep, shallow, shallow) for deep, shallow in pairs)

    def forward(self, x: Tensor, others: Sequence[Tensor | None]) -> list[Tensor]:
        """Input and another's features per size to the features coming up, finest first, the bottom's last."""
        skips: list[Tensor] = []
        for index, (block, other) in enumerate(zip(self.down, others, strict=True)):
            x = functional.max_pool2d(x, 2) if index else x
            x = block(x if other is None else torch.cat([x, other], 1))
            skips.append(x)
        found = [self.context(x)]
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            found.insert(0, block(found[0], skip))
        return found


class ConnectedUNets(System):
    """Two U-Nets with ASPP; one's decoder feeds the other's encoder at every size (Baccouche et al. 2021, Fig. 8)."""

    def __init__(self, *, widths: Sequence[int] = (32, 64, 128, 256, 512)) -> None:
        super().__init__()
        self.first = _UNet(1, widths, [0] * len(widths))
        self.bridges = nn.ModuleList(ConvNormAct(width, width) for width in widths)
        self.second = _UNet(widths[0], widths, [0, *widths[1:]])
        self.mask = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        found = self.first(image, [None] * len(self.bridges))
        top, *others = [bridge(x) for bridge, x in zip(self.bridges, found, strict=True)]
        return Outputs(mask_logits=self.mask(self.second(top, [None, *others])[0]).float())

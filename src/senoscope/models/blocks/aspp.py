"""Atrous spatial pyramid pooling (Chen et al. 2017, DeepLabV3, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import ConvNormAct


class ASPP(nn.Module):
    """A 1×1 convolution, dilated 3×3 ones and the image's mean side by side, joined by a 1×1 convolution.

    The mean's branch has no batch norm: it is one location per image, too little to norm in a batch of one.
    """

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int] = (6, 12, 18)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [ConvNormAct(inputs, outputs, 1), *(ConvNormAct(inputs, outputs, dilation=r) for r in rates)]
        )
        self.whole = nn.Conv2d(inputs, outputs, 1)
        self.join = ConvNormAct(outputs * (len(rates) + 2), outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×h×w to N×outputs×h×w."""
        mean = functional.relu(self.whole(x.mean((2, 3), keepdim=True)))
        out: Tensor = self.join(
            torch.cat([*(b(x) for b in self.branches), mean.expand(-1, -1, *x.shape[2:])], 1)
        )
        return out

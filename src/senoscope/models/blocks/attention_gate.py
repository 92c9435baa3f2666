"""The grid attention gate (Oktay et al. 2018, Fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import resize


class GridAttentionGate(nn.Module):
    """Weights a skip's locations by what the next coarser level of the decoder sees there.

    It starts almost open (weights of 0.95), so that the network begins as a plain U-Net.
    """

    def __init__(self, skip: int, gate: int, inner: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(skip, inner, 2, stride=2, bias=False)
        self.gate = nn.Conv2d(gate, inner, 1)
        self.weight = nn.Conv2d(inner, 1, 1)
        nn.init.constant_(torch.as_tensor(self.weight.bias), 3.0)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """``skip`` N×skip×2h×2w, weighted by what it and ``gate`` N×gate×h×w say together."""
        weight = self.weight(functional.relu(self.skip(skip) + self.gate(gate))).sigmoid()
        return skip * resize(weight, skip)

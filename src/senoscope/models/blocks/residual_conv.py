"""The residual unit of residual U-Nets (He et al. 2016; Zhang et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import ConvNormAct


class ResidualConv(nn.Module):
    """Two 3×3 convolutions with batch norm beside a 1×1 shortcut; their sum through ReLU (He et al. 2016, Fig. 2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            ConvNormAct(inputs, outputs),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×H×W to N×outputs×H×W."""
        return functional.relu(self.convs(x) + self.shortcut(x))


class ResidualUp(nn.Module):
    """Enlarge twofold by a transposed convolution, join the skip, one residual unit."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.unit = ResidualConv(outputs + skip, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``x`` N×inputs×h×w and ``skip`` N×skip×2h×2w to N×outputs×2h×2w."""
        out: Tensor = self.unit(torch.cat([skip, self.enlarge(x)], 1))
        return out

"""The U-Net's parts (Ronneberger et al. 2015), with batch norm and padding as everyone builds them since."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNormAct(nn.Sequential):
    """Convolution (size kept), batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, dilation: int = 1, groups: int = 1) -> None:
        padding = dilation * (size // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, size, padding=padding, dilation=dilation, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class DoubleConv(nn.Sequential):
    """Two 3×3 convolutions with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(ConvNormAct(inputs, outputs), ConvNormAct(outputs, outputs))


class Up(nn.Module):
    """Enlarge twofold by a transposed convolution, join the skip, convolve twice."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.convs = DoubleConv(outputs + skip, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``x`` N×inputs×h×w and ``skip`` N×skip×2h×2w to N×outputs×2h×2w."""
        out: Tensor = self.convs(torch.cat([skip, self.enlarge(x)], 1))
        return out


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear enlargement of N×C×h×w to the height and width of ``like``."""
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)

"""Depthwise separable convolution, dilated where wished (Chollet 2017; Chen et al. 2018, Fig. 3)."""

from __future__ import annotations

from torch import nn

from senoscope.models.blocks.unet import ConvNormAct


class SeparableConv(nn.Sequential):
    """A 3×3 convolution of each channel on its own, then a 1×1 across channels; batch norm and ReLU after both."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(
            ConvNormAct(inputs, inputs, dilation=dilation, groups=inputs), ConvNormAct(inputs, outputs, 1)
        )

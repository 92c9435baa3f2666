"""The parallel partial decoder of PraNet and CaraNet (Fan et al. 2020, Fig. 2; after Wu et al. 2019, CPD)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Sequential):
    """Convolution (size kept) and batch norm, nothing after."""

    def __init__(self, inputs: int, outputs: int, size: int | tuple[int, int] = 3, dilation: int = 1) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        padding = (dilation * (height // 2), dilation * (width // 2))
        super().__init__(
            nn.Conv2d(inputs, outputs, (height, width), padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
        )


class PartialDecoder(nn.Module):
    """Joins the three deep levels, which have been narrowed to ``width`` channels, into one coarse map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.middle_gate, self.fine_gate, self.fine_gate2 = (ConvNorm(width, width) for _ in range(3))
        self.coarse_up, self.coarse_join = ConvNorm(width, width), ConvNorm(2 * width, 2 * width)
        self.middle_up, self.join = ConvNorm(2 * width, 2 * width), ConvNorm(3 * width, 3 * width)
        self.head = nn.Sequential(ConvNorm(3 * width, 3 * width), nn.Conv2d(3 * width, 1, 1))

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Features N×width×h×w of three levels to logits N×1×h×w of the finest's size."""
        up = _enlarge(coarse, middle)
        gated_middle = self.middle_gate(up) * middle
        gated_fine = self.fine_gate(_enlarge(up, fine)) * self.fine_gate2(_enlarge(middle, fine)) * fine
        deep = self.coarse_join(torch.cat([gated_middle, self.coarse_up(up)], 1))
        joined = self.join(torch.cat([gated_fine, self.middle_up(_enlarge(deep, fine))], 1))
        out: Tensor = self.head(joined)
        return out


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)

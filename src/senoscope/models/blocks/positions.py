"""Learned positions of a grid of tokens, for images of any size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def add_positions(x: Tensor, positions: Tensor) -> Tensor:
    """Tokens N×C×h×w plus learned ``positions`` 1×C×H×W, enlarged bilinearly where the grids differ."""
    if positions.shape[-2:] != x.shape[-2:]:
        positions = functional.interpolate(positions, size=x.shape[-2:], mode="bilinear", align_corners=False)
    return x + positions


def new_positions(channels: int, side: int) -> torch.nn.Parameter:
    """Positions 1×C×side×side to learn, drawn as vision transformers draw them (standard deviation 0.02)."""
    return torch.nn.Parameter(torch.nn.init.trunc_normal_(torch.empty(1, channels, side, side), std=0.02))

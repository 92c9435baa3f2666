"""MedT: medical transformer of gated axial attention, trained locally and globally (Valanarasu et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.axial import AxialAttention, AxialBlock
from senoscope.models.blocks.unet import ConvNormAct, resize
from senoscope.models.interface import Outputs, System

GATES_FROM = 10
"""The epoch, from 0, from which the gates learn."""

_PATCHES = 4
"""Patches along a side that the local branch looks at, each by itself."""


def _stem(outputs: int, middle: int) -> nn.Sequential:
    """Three convolutions, the first of 7×7 at stride 2: 1 channel to ``outputs`` at half the size."""
    return nn.Sequential(
        nn.Conv2d(1, outputs, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        ConvNormAct(outputs, middle),
        ConvNormAct(middle, outputs),
    )


def _stage(inputs: int, width: int, depth: int, groups: int, span: int | None, stride: int) -> nn.Sequential:
    """``depth`` axial blocks, the first at ``stride``; later ones see rows and columns that much shorter."""
    shorter = None if span is None else span // stride
    return nn.Sequential(
        AxialBlock(inputs, width, groups, span=span, stride=stride),
        *(AxialBlock(2 * width, width, groups, span=shorter) for _ in range(depth - 1)),
    )


class GlobalBranch(nn.Module):
    """Two stages of gated axial attention over the whole image, and two decoder steps."""

    def __init__(self, image_size: int, width: int, groups: int) -> None:
        super().__init__()
        half = image_size // 2
        self.stem = _stem(width // 2, 8 * width)
        self.first = _stage(width // 2, width, 1, groups, half, 1)
        self.second = _stage(2 * width, 2 * width, 2, groups, half, 2)
        self.up = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.last = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """N×1×H×W to N×width×H×W."""
        first = self.first(self.stem(image))
        x = functional.relu(resize(self.up(self.second(first)), first)) + first
        return functional.relu(resize(self.last(x), image))


class LocalBranch(nn.Module):
    """Four stages of axial attention without positions over a patch, and five decoder steps with skips."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.stem = _stem(4 * width, 8 * width)  # as wide as the global branch ends
        self.stages = nn.ModuleList([_stage(4 * width, width, 1, groups, None, 1)])
        for index, depth in enumerate((2, 4, 1)):
            inputs = width << (index + 1)
            self.stages.append(_stage(inputs, inputs, depth, groups, None, 2))
        wide = 16 * width
        self.turn = nn.Conv2d(wide, wide, 3, stride=2, padding=1)
        self.up = nn.ModuleList(nn.Conv2d(wide >> i, wide >> (i + 1), 3, padding=1) for i in range(3))
        self.last = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, patch: Tensor) -> Tensor:
        """N×1×h×w to N×width×h×w."""
        x, skips = self.stem(patch), []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        for step in (self.turn, *self.up):
            skip = skips.pop()
            x = functional.relu(resize(step(x), skip)) + skip
        return functional.relu(resize(self.last(x), patch))


class MedT(System):
    """A global and a local branch of axial attention, summed (LoGo; Fig. 2). Built for images of ``image_size``."""

    def __init__(self, *, image_size: int = 128, width: int = 16, groups: int = 8) -> None:
        super().__init__()
        self.whole = GlobalBranch(image_size, width, groups)
        self.local = LocalBranch(width, groups)
        self.join = nn.Conv2d(width, width, 3, padding=1)
        self.mask = nn.Conv2d(width, 1, 1)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Epoch from 0: the gates stand still for the first ten, as the authors train them."""
        for part in self.modules():
            if isinstance(part, AxialAttention) and part.span is not None:
                part.gates.requires_grad_(epoch >= GATES_FROM)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x = self.whole(image) + _joined(self.local(_patches(image)))
        return Outputs(mask_logits=self.mask(functional.relu(self.join(x))).float())


def _patches(image: Tensor) -> Tensor:
    """N×C×H×W to the 4×4 patches of each image, 16·N×C×H/4×W/4."""
    grid = torch.unflatten(torch.unflatten(image, 3, (_PATCHES, -1)), 2, (_PATCHES, -1))
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def _joined(patches: Tensor) -> Tensor:
    """The patches 16·N×C×h×w of each image put together, N×C×4h×4w."""
    grid = torch.unflatten(patches, 0, (-1, _PATCHES, _PATCHES)).permute(0, 3, 1, 4, 2, 5)
    return torch.flatten(torch.flatten(grid, 4, 5), 2, 3)

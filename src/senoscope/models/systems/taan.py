"""TAAN: a shared encoder, from which each task picks what it needs by attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.pooled import pooled
from senoscope.models.blocks.unet import ConvNormAct, Up
from senoscope.models.interface import Outputs, System


class TaskAttention(nn.Module):
    """One task's gate on one level of the shared features (Liu et al. 2019, Fig. 2, encoder side).

    The level's first convolution and what the task took from the level before make a mask of 0..1 over the level's
    second convolution; what passes is convolved for the task.
    """

    def __init__(self, previous: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            ConvNormAct(width + previous, width, 1), nn.Conv2d(width, width, 1), nn.BatchNorm2d(width)
        )
        self.out = ConvNormAct(width, width)

    def forward(self, first: Tensor, second: Tensor, taken: Tensor | None) -> Tensor:
        """Shared features N×width×h×w before and after the level's last convolution, and the task's N×previous×h×w."""
        asked = first if taken is None else torch.cat([first, taken], 1)
        out: Tensor = self.out(self.gate(asked).sigmoid() * second)
        return out


class TAAN(System):
    """A U-Net's encoder shared by two tasks, each with an attention module per level that routes features to it.

    The segmentation task's features are the skips of a U-Net decoder; the classification task's deepest ones are
    averaged and classified.
    """

    def __init__(self, classes: int = 3, *, widths: Sequence[int] = (64, 128, 256, 512, 512)) -> None:
        super().__init__()
        self.first = nn.ModuleList(ConvNormAct(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.second = nn.ModuleList(ConvNormAct(width, width) for width in widths)
        self.segment, self.classify = (
            nn.ModuleList(TaskAttention(a, b) for a, b in zip((0, *widths), widths, strict=False))
            for _ in range(2)
        )
        pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(Up(deep, shallow, shallow) for deep, shallow in pairs)
        self.mask = nn.Conv2d(widths[0], 1, 1)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits, their activation map and mask logits N×1×H×W."""
        x = image
        outlines: list[Tensor] = []
        naming: Tensor | None = None
        levels = zip(self.first, self.second, self.segment, self.classify, strict=True)
        for index, (convolve, again, segment, classify) in enumerate(levels):
            first = convolve(functional.max_pool2d(x, 2) if index else x)
            x = again(first)
            outlines.append(segment(first, x, functional.max_pool2d(outlines[-1], 2) if outlines else None))
            naming = classify(first, x, None if naming is None else functional.max_pool2d(naming, 2))
        drawn = outlines[-1]
        for up, skip in zip(self.up, outlines[-2::-1], strict=True):
            drawn = up(drawn, skip)
        assert naming is not None  # noqa: S101 - for the type checker
        return pooled(naming, self.classifier)._replace(mask_logits=self.mask(drawn).float())

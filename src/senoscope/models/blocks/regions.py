"""Cutting out of an image what a mask shows, inside a network: no step depends on how much that is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def grow(mask: Tensor, margin: int) -> Tensor:
    """Masks N×1×H×W (0 or 1) with ``margin`` pixels more on each side; an empty one becomes the whole image."""
    wide = functional.max_pool2d(mask, (1, 2 * margin + 1), 1, (0, margin))
    wide = functional.max_pool2d(wide, (2 * margin + 1, 1), 1, (margin, 0))
    return torch.where(mask.amax((1, 2, 3), keepdim=True) > 0, wide, torch.ones_like(wide))


def crop(image: Tensor, mask: Tensor) -> Tensor:
    """The box around each mask N×1×H×W (none empty) of ``image`` N×C×H×W, enlarged bilinearly to H×W."""
    rows = _samples(mask.amax(3)[:, 0])
    columns = _samples(mask.amax(2)[:, 0])
    return rows @ image @ columns.transpose(2, 3)


def _samples(line: Tensor) -> Tensor:
    """Bilinear weights N×1×L×L: from all L places of a line N×L (0 or 1) to L places between its first and last 1."""
    length = line.shape[1]
    place = torch.arange(length, device=line.device, dtype=line.dtype)
    first = torch.where(line > 0, place, length).amin(1, keepdim=True)
    end = torch.where(line > 0, place + 1, 0).amax(1, keepdim=True)
    wanted = first + (end - first) * (place + 0.5) / length - 0.5
    wanted = wanted.clamp(0, length - 1)
    return (1 - (wanted[:, :, None] - place).abs()).clamp(min=0)[:, None]

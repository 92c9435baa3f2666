"""Graph convolution on the pixels themselves: each is a node, its eight neighbours are its edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NEIGHBOURS = tuple((dy, dx) for dy in (0, 1, 2) for dx in (0, 1, 2))


class LatticeGraphConv(nn.Module):
    """One graph convolution, ReLU(norm(Â X W)) + X (Kipf & Welling 2017, Eq. 2), on the grid of pixels.

    Â is not the lattice's fixed adjacency: a node listens to itself and its neighbours by how alike they are, a
    softmax over the products of their keys (Veličković et al. 2018), so that little passes across an edge of the image.
    Sums run over shifted views, so no graph is ever built and any size is taken.
    """

    def __init__(self, width: int, keys: int = 8) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, keys, 1)
        self.key = nn.Conv2d(width, keys, 1)
        self.message = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Node features N×width×h×w to the same."""
        height, width = x.shape[2:]
        query = self.query(x)
        keys, messages = (functional.pad(part, (1, 1, 1, 1)) for part in (self.key(x), self.message(x)))
        scale = query.shape[1] ** -0.5
        alike = [(query * keys[:, :, y : y + height, z : z + width]).sum(1) * scale for y, z in NEIGHBOURS]
        share = torch.stack(alike, 1).softmax(1)
        heard = torch.zeros_like(x)
        for index, (y, z) in enumerate(NEIGHBOURS):
            heard = heard + share[:, index : index + 1] * messages[:, :, y : y + height, z : z + width]
        return functional.relu(self.norm(heard)) + x

"""Sparse codes of an image by a learned dictionary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SparseCoding(nn.Module):
    """Iterative shrinkage unrolled into layers, with learned convolutions (Gregor & LeCun 2010, LISTA; Fig. 2).

    Codes are those of few non-zero values from which ``decode`` gives the image back; every step adds what the codes so
    far leave unexplained and shrinks the result towards zero.
    """

    def __init__(self, atoms: int = 32, *, size: int = 7, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps
        self.encode = nn.Conv2d(1, atoms, size, padding=size // 2, bias=False)
        self.decode = nn.Conv2d(atoms, 1, size, padding=size // 2, bias=False)
        self.threshold = nn.Parameter(torch.full((atoms, 1, 1), 0.05))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` N×1×H×W to codes N×atoms×H×W."""
        codes = self._shrink(self.encode(x))
        for _ in range(self.steps):
            codes = self._shrink(codes + self.encode(x - self.decode(codes)))
        return codes

    def _shrink(self, codes: Tensor) -> Tensor:
        return functional.relu(codes - self.threshold) - functional.relu(-codes - self.threshold)

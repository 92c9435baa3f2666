"""Deformable attention (Xia et al. 2022): keys and values are read where the queries say, not on a fixed grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DeformableAttention(nn.Module):
    """Multi-head attention to points that move with the image (Xia et al. 2022, Fig. 2), residual.

    A regular grid of points, one per 2×2 locations, is shifted by offsets made from the queries (at most ``reach``
    grid steps), the features are read there bilinearly, and every location attends to all the points. Without the
    paper's relative position bias, so that any size is taken.
    """

    def __init__(self, width: int, heads: int = 4, reach: float = 2.0) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.norm = nn.BatchNorm2d(width)
        self.query = nn.Conv2d(width, width, 1)
        self.offset = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1, groups=width), nn.GELU(), nn.Conv2d(width, 2, 1)
        )
        self.key_value = nn.Conv2d(width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w to the same."""
        normed = self.norm(x)
        query = self.query(normed)
        offset = self.offset(query).tanh()
        rows, columns = offset.shape[-2:]
        step = offset.new_tensor([2 / columns, 2 / rows])  # in grid_sample's −1..1, x before y
        grid = _centres(rows, columns).to(offset) + self.reach * step * offset.permute(0, 2, 3, 1)
        points = functional.grid_sample(normed, grid, align_corners=False, padding_mode="border")
        key, value = self.key_value(points).chunk(2, 1)
        query, key, value = (part.flatten(2).unflatten(1, (self.heads, -1)) for part in (query, key, value))
        share = (query.transpose(2, 3) @ key * query.shape[2] ** -0.5).softmax(-1)
        seen = (value @ share.transpose(2, 3)).flatten(1, 2)
        out: Tensor = x + self.out(seen.view_as(x))
        return out


def _centres(rows: int, columns: int) -> Tensor:
    """Centres of rows×columns cells over the square −1..1, as 1×rows×columns×2 (x, y)."""
    y, x = ((2 * torch.arange(count) + 1) / count - 1 for count in (rows, columns))
    return torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], -1)[None]

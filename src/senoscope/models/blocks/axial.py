"""Gated axial attention (Valanarasu et al. 2021, Eq. 3; axial attention: Wang et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class AxialAttention(nn.Module):
    """Every location attends to those of its own row (``across``) or column, with ``groups`` heads.

    With ``span``, the length of a row or column, queries, keys and values see learned relative positions, each through
    a gate of its own; without, there are no positions. Queries and keys have half the values' channels.
    """

    def __init__(self, channels: int, groups: int, *, across: bool, span: int | None = None) -> None:
        super().__init__()
        self.groups, self.across, self.span = groups, across, span
        self.head = channels // groups
        project = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        nn.init.normal_(project.weight, std=channels**-0.5)
        self.qkv = nn.Sequential(project, nn.BatchNorm2d(2 * channels))
        self.norm_similarity = nn.BatchNorm2d(groups if span is None else 3 * groups)
        self.norm_out = nn.BatchNorm2d(channels if span is None else 2 * channels)
        if span is not None:
            self.relative = nn.Parameter(torch.randn(2 * self.head, 2 * span - 1) * self.head**-0.5)
            self.gates = nn.Parameter(
                torch.tensor([0.1, 0.1, 1.0, 0.1])
            )  # of query, key, value, value's position

    def forward(self, x: Tensor) -> Tensor:
        """N×C×h×w to the same size."""
        x = x if self.across else x.transpose(2, 3)
        half = self.head // 2
        qkv: Tensor = torch.unflatten(self.qkv(x), 1, (self.groups, -1))  # N×groups×channels×lines×length
        query, key, value = torch.split(qkv, [half, half, self.head], 2)
        similarity = torch.einsum("ngcai,ngcaj->ngaij", query, key)
        if self.span is None:
            weight = self._normed(similarity).softmax(4)
            out: Tensor = self.norm_out(torch.einsum("ngaij,ngcaj->ngcai", weight, value).flatten(1, 2))
        else:
            out = self._positioned(query, key, value, similarity)
        return out if self.across else out.transpose(2, 3)

    def _positioned(self, query: Tensor, key: Tensor, value: Tensor, similarity: Tensor) -> Tensor:
        assert self.span is not None  # noqa: S101 - for the type checker
        place = torch.arange(self.span, device=query.device)
        relative = self.relative[:, place[:, None] - place[None, :] + self.span - 1]
        half = self.head // 2
        to_query, to_key, to_value = torch.split(relative, [half, half, self.head])
        by_query = torch.einsum("ngcai,cij->ngaij", query, to_query)
        by_key = torch.einsum("ngcaj,cji->ngaij", key, to_key)
        parts = torch.cat([similarity, self.gates[0] * by_query, self.gates[1] * by_key], 1)
        weight = torch.unflatten(self._normed(parts), 1, (3, -1)).sum(1).softmax(4)
        mixed = torch.einsum("ngaij,ngcaj->ngcai", weight, value).flatten(1, 2)
        placed = torch.einsum("ngaij,cij->ngcai", weight, to_value).flatten(1, 2)
        both: Tensor = self.norm_out(torch.cat([self.gates[2] * mixed, self.gates[3] * placed], 1))
        return torch.unflatten(both, 1, (2, -1)).sum(1)

    def _normed(self, similarity: Tensor) -> Tensor:
        lines = similarity.shape[2:4]
        return torch.unflatten(self.norm_similarity(similarity.flatten(2, 3)), 2, lines)


class AxialBlock(nn.Module):
    """1×1 convolution, attention down the columns and along the rows, 1×1 convolution, beside a shortcut."""

    def __init__(
        self, inputs: int, width: int, groups: int, *, span: int | None = None, stride: int = 1
    ) -> None:
        super().__init__()
        outputs = 2 * width
        self.narrow = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.attend = nn.Sequential(
            AxialAttention(width, groups, across=False, span=span),
            AxialAttention(width, groups, across=True, span=span),
            nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
            nn.ReLU(),
        )
        self.widen = nn.Sequential(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×h×w to N×2·width×h/stride×w/stride."""
        return functional.relu(self.widen(self.attend(self.narrow(x))) + self.shortcut(x))

"""Capsules with dynamic routing (Sabour et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6
"""Keeps square roots away from zero. ONNX export takes an added 1e-8 for zero and drops it."""


def squash(vectors: Tensor) -> Tensor:
    """Shrink vectors (…×D) to lengths below 1, direction kept (Sabour et al. 2017, Eq. 1)."""
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors * (squared / (1 + squared) / (squared + EPSILON).sqrt())


class RoutedCapsules(nn.Module):
    """Capsules that each input capsule votes for, routed by agreement (Sabour et al. 2017, Procedure 1)."""

    def __init__(self, inputs: int, inputs_dim: int, outputs: int, outputs_dim: int, rounds: int = 3) -> None:
        super().__init__()
        self.rounds = rounds
        self.votes = nn.Parameter(0.05 * torch.randn(inputs, outputs, outputs_dim, inputs_dim))

    def forward(self, capsules: Tensor) -> Tensor:
        """N×inputs×inputs_dim to N×outputs×outputs_dim."""
        votes = torch.einsum("icdk,nik->nicd", self.votes, capsules)
        agreement = votes.new_zeros(votes.shape[:3])
        result = squash((agreement.softmax(2)[..., None] * votes).sum(1))
        for _ in range(self.rounds - 1):
            agreement = agreement + (votes * result[:, None]).sum(-1)
            result = squash((agreement.softmax(2)[..., None] * votes).sum(1))
        return result


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Margin loss (Sabour et al. 2017, Eq. 4) of lengths N×C; labels N, -1 unknown and left out."""
    known = labels >= 0
    wanted = functional.one_hot(labels.clamp(min=0), lengths.shape[1]).to(lengths)
    short, long = (0.9 - lengths).clamp(min=0).square(), (lengths - 0.1).clamp(min=0).square()
    each = (wanted * short + 0.5 * (1 - wanted) * long).sum(1)
    return (each * known).sum() / known.sum().clamp(min=1)

"""Gradient-boosted trees as tensors, so that they are saved, loaded and exported like any weight."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Trees(nn.Module):
    """A boosted ensemble (Friedman 2001) as LightGBM grows it (Ke et al. 2017), one tree per class and round.

    Every tree has room for ``leaves`` leaves and ``depth`` levels, so that an ensemble of any size up to ``rounds``
    rounds fits in the same tensors; a node points to its children, a leaf to itself, and walking down takes ``depth``
    steps for all. Tensors are flat: export rounds matrices to 16 bits, and a threshold must not move.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor
    bias: Tensor

    def __init__(self, classes: int, *, rounds: int = 200, leaves: int = 31, depth: int = 8) -> None:
        super().__init__()
        self.classes, self.rounds, self.leaves, self.depth = classes, rounds, leaves, depth
        places = torch.arange(rounds * classes * (2 * leaves - 1))
        self.register_buffer("feature", torch.zeros_like(places))
        self.register_buffer("threshold", torch.zeros(len(places)))
        self.register_buffer("left", places.clone())
        self.register_buffer("right", places.clone())
        self.register_buffer("value", torch.zeros(len(places)))
        self.register_buffer("roots", places[:: 2 * leaves - 1].clone(), persistent=False)
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, features: Tensor) -> Tensor:
        """Features N×F to the sums of leaf values N×C, which are class logits."""
        place = self.roots.expand(features.shape[0], -1)
        for _ in range(self.depth):
            tested = features.gather(1, self.feature[place])
            place = torch.where(tested <= self.threshold[place], self.left[place], self.right[place])
        return self.value[place].view(-1, self.rounds, self.classes).sum(1) + self.bias

    @torch.no_grad()
    def fill(self, model: str) -> None:
        """Take over the trees of a multiclass LightGBM model, as ``Booster.model_to_string()`` gives them.

        (``dump_model`` gives thresholds with a digit too few.)
        """
        size, own = 2 * self.leaves - 1, np.arange(len(self.left))
        feature, threshold = np.zeros_like(own), np.zeros(len(own), np.float32)
        left, right, value = own.copy(), own.copy(), np.zeros_like(threshold)
        for index, text in enumerate(model.split("end of trees", maxsplit=1)[0].split("\nTree=")[1:]):
            tree = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            values = np.array(tree["leaf_value"].split(), np.float64)
            splits = len(values) - 1
            start = index * size
            value[start + splits : start + splits + len(values)] = values  # leaves follow the splits
            if not splits:
                continue
            inner = slice(start, start + splits)
            feature[inner] = np.array(tree["split_feature"].split(), np.int64)
            threshold[inner] = _at_most(np.array(tree["threshold"].split(), np.float64))
            for side, key in ((left, "left_child"), (right, "right_child")):
                child = np.array(tree[key].split(), np.int64)  # leaf number i is written as -1 - i
                side[inner] = start + np.where(child < 0, splits - 1 - child, child)
        self.bias.zero_()
        pairs = ((self.feature, feature), (self.threshold, threshold), (self.left, left), (self.right, right))
        for buffer, numbers in (*pairs, (self.value, value)):
            buffer.copy_(torch.from_numpy(numbers))


def _at_most(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest 32-bit numbers not above the thresholds: no 32-bit feature can tell the two apart."""
    near = thresholds.astype(np.float32)
    return np.where(near <= thresholds, near, np.nextafter(near, np.float32(-np.inf)))

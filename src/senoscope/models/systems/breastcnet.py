"""BreastCNet: a small network that names the lesion's class and draws its box (Mahichi et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from senoscope.models.interface import Outputs, System


class BreastCNet(System):
    """3×3 convolutions with max pooling, two dense layers, a class head and a box head (Mahichi et al. 2025).

    ``dense1`` and ``dense2`` are the widths that the paper's Grey Wolf search found. ``last_repeats`` convolutions
    share the last width. Built for one image size, as the dense layers read every location.
    """

    def __init__(
        self,
        classes: int = 3,
        *,
        image_size: int = 256,
        widths: Sequence[int] = (32, 64, 128, 256),
        last_repeats: int = 2,
        dense1: int = 6,
        dense2: int = 866,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for index, width in enumerate(widths):
            for _ in range(last_repeats if index == len(widths) - 1 else 1):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.convs = nn.Sequential(*layers, nn.MaxPool2d(2, padding=1))
        side = (image_size >> len(widths)) // 2 + 1
        self.dense1 = nn.Linear(channels * side**2, dense1)
        self.dense2 = nn.Linear(dense1, dense2)
        self.classifier = nn.Linear(dense2, classes)
        self.box = nn.Linear(dense2, 4)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and one box (x, y, width, height in 0..1)."""
        x = torch.relu(self.dense1(self.convs(image).flatten(1)))
        x = torch.relu(self.dense2(x))
        return Outputs(class_logits=self.classifier(x).float(), boxes=self.box(x).float().sigmoid())

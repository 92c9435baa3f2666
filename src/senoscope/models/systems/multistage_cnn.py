"""A convolutional network in stages: find what could be a lesion, then say which (Schutte & Uddin 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import DoubleConv
from senoscope.models.interface import Outputs, System


class _Verdict(nn.Module):
    """Logits of C classes from the first stage's verdict (class 0 or not) and the second's on the others."""

    bias: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, screen: Tensor, grade: Tensor) -> Tensor:
        """``screen`` N×1, ``grade`` N×(C-1) to N×C, the logarithms of p(0) and p(not 0)·p(class | not 0)."""
        others = functional.logsigmoid(screen) + grade.log_softmax(1)
        return torch.cat([functional.logsigmoid(-screen), others], 1) + self.bias


class MultiStageCNN(System):
    """Two stages of convolutions, each with an answer of its own.

    The first looks for lesions at 1/8 of the image's size and is as sure of one as of its most suspicious places; the
    second goes on from the first's features, raised where those places are, and tells the kinds of lesion apart. Only
    an image that the first stage clears can be called normal, which is what makes the system sensitive.
    """

    def __init__(
        self,
        classes: int = 3,
        *,
        first: Sequence[int] = (32, 64, 128),
        second: Sequence[int] = (256, 512),
        places: float = 0.05,
    ) -> None:
        super().__init__()
        self.places = places
        self.first = _stage(1, first)
        self.suspicion = nn.Conv2d(first[-1], 1, 1)
        self.second = _stage(first[-1], second)
        self.grade = nn.Linear(second[-1], classes - 1)
        self.classifier = _Verdict(classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits."""
        features = self.first(image)
        suspicion = self.suspicion(features)
        flat = suspicion.flatten(1)
        screen = flat.topk(max(1, int(self.places * flat.shape[1])), 1).values.mean(1, keepdim=True)
        deeper = self.second(features * (1 + suspicion.sigmoid()))
        grade = self.grade(deeper.mean((2, 3)))
        return Outputs(class_logits=self.classifier(screen.float(), grade.float()))


def _stage(inputs: int, widths: Sequence[int]) -> nn.Sequential:
    stage = nn.Sequential()
    for before, width in zip((inputs, *widths), widths, strict=False):
        stage.extend((DoubleConv(before, width), nn.MaxPool2d(2)))
    return stage

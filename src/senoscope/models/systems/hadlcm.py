"""HADLCM: a hybrid deep cascade on sparse codes (Sahu et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import IMAGENET_MEAN, IMAGENET_STD, to_rgb
from senoscope.models.blocks.sparse import SparseCoding
from senoscope.models.blocks.unet import ConvNormAct
from senoscope.models.interface import Outputs, System


class HADLCM(System):
    """Sparse codes and a deep network, in a cascade of two classifiers.

    The first classifier sees a small network on the image's sparse codes. The second sees the features of a deep
    network, those of the first, and the first's answer.
    """

    encoder: Any

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder: str = "resnet18",
        atoms: int = 32,
        widths: Sequence[int] = (64, 128),
        hidden: int = 256,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.sparse = nn.Sequential(SparseCoding(atoms), nn.MaxPool2d(4))
        for inputs, outputs in zip((atoms, *widths), widths, strict=False):
            self.sparse.extend((ConvNormAct(inputs, outputs), nn.MaxPool2d(2)))
        self.first = nn.Linear(widths[-1], classes)
        self.encoder = backbone(
            encoder, encoder_weights=encoder_weights, pretrained=pretrained, num_classes=0
        )
        together = self.encoder.num_features + widths[-1] + classes
        self.hidden = nn.Sequential(nn.Linear(together, hidden), nn.ReLU(), nn.Dropout(0.3))
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits; in training the first classifier's are auxiliary."""
        codes = self.sparse((image - IMAGENET_MEAN) / IMAGENET_STD).mean((2, 3))
        first = self.first(codes).float()
        both = torch.cat([self.encoder(to_rgb(image)), codes, first.softmax(1).to(codes)], 1)
        logits = self.classifier(self.hidden(both)).float()
        return Outputs(class_logits=logits, auxiliary=(Outputs(class_logits=first),) if self.training else ())

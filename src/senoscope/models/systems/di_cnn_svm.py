"""Di-CNN, DenseNet-201, a 24-layer CNN and an SVM (Irfan et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.svm import LinearSVM
from senoscope.models.blocks.unet import ConvNormAct
from senoscope.models.interface import FittedSystem, Outputs


class DiCNNSVM(FittedSystem):
    """A dilated network outlines the lesion; two networks describe what is inside; an SVM names it.

    The outline is eroded, everything outside it darkened, and what remains goes to DenseNet-201 and to a small network
    side by side. Their features are joined and classified by a linear SVM.
    """

    encoder: Any
    fitted: Tensor

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder: str = "densenet201",
        width: int = 64,
        dilations: Sequence[int] = (1, 2, 4, 8, 16),
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.dilated = nn.Sequential()
        for index, dilation in enumerate(dilations):
            self.dilated.append(ConvNormAct(width if index else 1, width, dilation=dilation))
        self.mask = nn.Conv2d(width, 1, 1)
        self.encoder = backbone(
            encoder, encoder_weights=encoder_weights, pretrained=pretrained, num_classes=0
        )
        self.small = nn.Sequential()
        for inputs, outputs in zip((1, *widths), widths, strict=False):
            self.small.extend((ConvNormAct(inputs, outputs), nn.MaxPool2d(2)))
        together = self.encoder.num_features + widths[-1]
        self.classifier = nn.Linear(together, classes)
        self.svm = LinearSVM(together, classes)
        self.register_buffer("fitted", torch.tensor(False))

    def features(self, image: Tensor) -> Tensor:
        """Image N×1×H×W in 0..1 to the joined features N×F of both networks."""
        return self._describe(image, self._outline(image))

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits and class logits.

        The latter are the SVM's once it is fitted, a linear layer's before.
        """
        outline = self._outline(image)
        features = self._describe(image, outline)
        logits = self.classifier(features).float()
        if not self.training:
            logits = torch.where(self.fitted, self.svm(features), logits)
        return Outputs(class_logits=logits, mask_logits=outline)

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to the class logits for good."""
        super().shift_classes(offset)
        self.svm.shift += offset.to(self.svm.shift)

    def fit(self, features: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> None:
        """Fit the SVM."""
        self.svm.fit(features, labels, seed)
        self.fitted.fill_(True)

    def _outline(self, image: Tensor) -> Tensor:
        logits: Tensor = self.mask(self.dilated(image)).float()
        return logits

    def _describe(self, image: Tensor, outline: Tensor) -> Tensor:
        eroded = -functional.max_pool2d(-outline.detach(), 3, 1, 1)
        inside = image * eroded.sigmoid()
        return torch.cat([self.encoder(to_rgb(inside)), self.small(inside).mean((2, 3))], 1).float()

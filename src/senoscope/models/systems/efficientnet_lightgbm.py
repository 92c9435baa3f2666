"""EfficientNet-B7 features, classified by boosted trees (Sait & Nagaraj 2024)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.boosting import grow, tuned
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.trees import Trees
from senoscope.models.interface import FittedSystem, Outputs


class EfficientNetLightGBM(FittedSystem):
    """Pooled features of EfficientNet-B7 (Tan & Le 2019) and LightGBM (Ke et al. 2017), tuned by Optuna.

    Features pretrained on ImageNet stay as they are, as published. Without pretrained weights the encoder learns with a
    linear classifier first. ``trials`` is how many settings of LightGBM are tried.
    """

    encoder: Any
    fitted: Tensor

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder: str = "efficientnet_b7",
        rounds: int = 200,
        trials: int = 20,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.trials = trials
        self.encoder = backbone(
            encoder, encoder_weights=encoder_weights, pretrained=pretrained, num_classes=0
        )
        self.frozen = pretrained or encoder_weights is not None
        self.encoder.requires_grad_(not self.frozen)
        self.classifier = nn.Linear(self.encoder.num_features, classes)
        self.trees = Trees(classes, rounds=rounds)
        self.register_buffer("fitted", torch.tensor(False))

    def train(self, mode: bool = True) -> Self:
        """Switch to training; a frozen encoder's batch norms keep ImageNet's averages."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def features(self, image: Tensor) -> Tensor:
        """Image N×1×H×W in 0..1 to features N×F."""
        features: Tensor = self.encoder(to_rgb(image)).float()
        return features

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits: of the trees once they are fitted, of a linear layer before."""
        features = self.features(image)
        linear = self.classifier(features).float()
        if self.training:
            return Outputs(class_logits=linear)
        return Outputs(class_logits=torch.where(self.fitted, self.trees(features), linear))

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to the class logits for good."""
        super().shift_classes(offset)
        self.trees.bias += offset.to(self.trees.bias)

    def fit(self, features: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> None:
        """Choose LightGBM's settings by cross-validation, then grow the trees on everything."""
        settings = tuned(features, labels, self.trees, seed, self.trials)
        self.trees.fill(grow(features, labels, settings))
        self.fitted.fill_(True)

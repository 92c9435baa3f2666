"""ResNet-GAP: class and place of a lesion from class activation maps of several scales (Ding et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.interface import Outputs, System


class _Maps(nn.Module):
    """Class activation maps by convolutions of different sizes, with one bias for all."""

    def __init__(self, features: int, classes: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(features, classes, size, padding=size // 2, bias=False) for size in sizes
        )
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Features N×F×h×w to one map N×C×h×w per size."""
        return [(conv(features) + self.bias[:, None, None]).float() for conv in self.convs]


class ResNetGAP(System):
    """The B-mode channel of the dual-channel ResNet-GAP (Ding et al. 2022).

    A ResNet's last features become class activation maps by convolutions of ``sizes``; each map's mean is a class
    logit, the answer is the mean over the maps, and where that map is high is where the lesion lies. In training every
    map learns the class, and all are held to agree (``own_losses``).
    """

    encoder: Any

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder: str = "resnet18",
        sizes: Sequence[int] = (1, 3, 5),
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = backbone(
            encoder, encoder_weights=encoder_weights, pretrained=pretrained, num_classes=0, global_pool=""
        )
        self.classifier = _Maps(self.encoder.num_features, classes, sizes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and their activation map, the mean of those of all scales."""
        maps = self.classifier(self.encoder(to_rgb(image)))
        scales = tuple(_outputs(scale) for scale in maps) if self.training else ()
        return _outputs(torch.stack(maps).mean(0))._replace(auxiliary=scales)

    def own_losses(self, outputs: Outputs, masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """How far the scales' maps of class probabilities lie from their mean (mean square)."""
        maps = [part.class_map.softmax(1) for part in outputs.auxiliary if part.class_map is not None]
        if not maps:
            return {}
        each = torch.stack(maps)
        return {"consistency": (each - each.mean(0)).square().mean()}


def _outputs(evidence: Tensor) -> Outputs:
    share = evidence.new_full((evidence.shape[0], 1, *evidence.shape[2:]), 1 / evidence[0, 0].numel())
    return Outputs(class_logits=evidence.mean((2, 3)), class_map=evidence, pool_weights=share)

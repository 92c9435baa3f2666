"""UCapsNet: a widened U-Net cuts out the tumour, a capsule network names it (Madhu et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.capsules import EPSILON, RoutedCapsules, margin_loss, squash
from senoscope.models.interface import Outputs, System
from senoscope.models.systems.unet import UNet

GRID = 6
"""Side of the grid of primary capsules (Sabour et al. 2017, Fig. 1)."""


class UCapsNet(System):
    """Two stages: the U-Net learns in the first half of training, the capsules in the second (Madhu et al. 2024).

    The capsules see the image times the U-Net's mask, through which nothing is learnt. A class's capsule's length v
    lies in 0..1; the logits are log v, so that probabilities are the lengths over their sum.
    """

    offset: Tensor

    def __init__(
        self,
        classes: int = 3,
        *,
        widths: Sequence[int] = (128, 256, 512, 1024),
        features: int = 256,
        capsules: int = 32,
    ) -> None:
        super().__init__()
        self.segmenter = UNet(widths=widths)
        self.conv = nn.Conv2d(1, features, 9, stride=4, padding=4)
        self.primary = nn.Conv2d(features, capsules * 8, 9, stride=2)
        self.classes = RoutedCapsules(capsules * GRID**2, 8, classes, 16)
        self.register_buffer("offset", torch.zeros(classes))
        self.classifies = False

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """From half of the epochs on, the U-Net is left as it is and the capsules learn."""
        self.classifies = 2 * epoch >= epochs

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and mask logits N×1×H×W; in training, those of the stage."""
        if self.training and not self.classifies:
            return Outputs(mask_logits=self._outline(image))
        with torch.no_grad():
            outline = self._outline(image)
        logits = self._lengths(image * outline.sigmoid()).log() + self.offset
        return Outputs(class_logits=logits, mask_logits=None if self.training else outline)

    def own_losses(self, outputs: Outputs, masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The capsules' margin loss in place of cross-entropy."""
        if outputs.class_logits is None:
            return {}
        return {"class": margin_loss((outputs.class_logits - self.offset).exp(), labels)}

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to the class logits."""
        self.offset += offset.to(self.offset)

    def _outline(self, image: Tensor) -> Tensor:
        logits = self.segmenter(image).mask_logits
        assert isinstance(logits, Tensor)  # noqa: S101 - for the type checker
        return logits

    def _lengths(self, tumour: Tensor) -> Tensor:
        """Lengths N×C of the class capsules."""
        # 2·GRID + 8 pixels give the 9×9 convolution with stride 2 its grid, whatever the size of the image.
        x = functional.adaptive_avg_pool2d(torch.relu(self.conv(tumour)), 2 * GRID + 8)
        primary = self.primary(x).float().flatten(2).unflatten(1, (-1, 8))
        vectors: Tensor = self.classes(squash(primary.permute(0, 1, 3, 2).flatten(1, 2)))
        return (vectors.square().sum(-1) + EPSILON).sqrt()

"""ImageMaskNet and ImageMaskNet2: classifiers that are given the lesion's true mask beside the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from senoscope.models.interface import Outputs, System


def _branch(inputs: int, widths: Sequence[int], *, norm: bool) -> nn.Sequential:
    """Per width: 3×3 convolution, batch norm where asked, ReLU, 2×2 max pooling."""
    layers: list[nn.Module] = []
    for before, width in zip((inputs, *widths), widths, strict=False):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        if norm:
            layers.insert(-2, nn.BatchNorm2d(width))
    return nn.Sequential(*layers)


def _flat(widths: Sequence[int], image_size: int) -> int:
    """Length of a branch's flattened features."""
    return int(widths[-1]) * (image_size >> len(widths)) ** 2


class ImageMaskNet(System):
    """Two small branches, for the image and for its mask, flattened, joined and classified (README, "Model 1").

    Without a mask it is given an empty one, which is how a normal breast looks to it: the honest mode, and the one that
    is exported. Built for one image size.
    """

    uses_mask: ClassVar[bool] = True

    def __init__(
        self, classes: int = 3, *, image_size: int = 256, widths: Sequence[int] = (32, 64), hidden: int = 128
    ) -> None:
        super().__init__()
        self.image_branch = _branch(3, widths, norm=False)
        self.mask_branch = _branch(1, widths, norm=False)
        self.hidden = nn.Linear(2 * _flat(widths, image_size), hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image and mask N×1×H×W in 0..1 to class logits."""
        seen = self.image_branch(image.expand(-1, 3, -1, -1)).flatten(1)
        shape = self.mask_branch(torch.zeros_like(image) if mask is None else mask).flatten(1)
        joined = torch.relu(self.hidden(torch.cat([seen, shape], 1)))
        return Outputs(class_logits=self.classifier(joined).float())


class ImageMaskNet2(System):
    """Deeper branches with batch norm, and a second head that sees the image's branch alone (README, "Model 2").

    The first half of training gives image and mask to the combined head, the second half the image to its own head.
    In use the combined head answers where a mask is given, the image's head where none is. Built for one image size.
    """

    uses_mask: ClassVar[bool] = True

    def __init__(
        self,
        classes: int = 3,
        *,
        image_size: int = 256,
        widths: Sequence[int] = (32, 64, 128),
        mask_widths: Sequence[int] = (32, 64),
        hidden: int = 256,
    ) -> None:
        super().__init__()
        self.image_branch = _branch(3, widths, norm=True)
        self.mask_branch = nn.Sequential(_branch(1, mask_widths, norm=True), nn.Dropout(0.5))
        seen, shape = _flat(widths, image_size), _flat(mask_widths, image_size)
        self.combined = nn.Sequential(nn.Linear(seen + shape, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        self.image_only = nn.Sequential(nn.Linear(seen, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        self.without_mask = False

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """From half of the epochs on, training no longer gives the mask."""
        self.without_mask = 2 * epoch >= epochs

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image, and mask if there is one, N×1×H×W in 0..1 to class logits."""
        seen = self.image_branch(image.expand(-1, 3, -1, -1)).flatten(1)
        if mask is None or (self.training and self.without_mask):
            return Outputs(class_logits=self.image_only(seen).float())
        joined = torch.cat([seen, self.mask_branch(mask).flatten(1)], 1)
        return Outputs(class_logits=self.combined(joined).float())

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to the logits of both heads."""
        for head in (self.combined, self.image_only):
            bias = head[-1].bias
            assert isinstance(bias, Tensor)  # noqa: S101 - for the type checker
            bias += offset.to(bias)

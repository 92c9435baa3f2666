"""The one interface every model of Senoscope has: image in, Outputs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Outputs(NamedTuple):
    """What a system returns; parts it does not have are ``None``.

    ``class_logits`` N×C; ``mask_logits`` N×1×H×W at the input's size; ``class_map`` N×C×h×w, the evidence per
    location; ``pool_weights`` N×1×h×w, positive and summing to 1 over locations, with
    ``class_logits == (class_map * pool_weights).sum((2, 3))``; ``boxes`` N×4 (x, y, width, height) in 0..1.
    """

    class_logits: Tensor | None = None
    mask_logits: Tensor | None = None
    class_map: Tensor | None = None
    pool_weights: Tensor | None = None
    boxes: Tensor | None = None


class System(nn.Module, ABC):
    """A model of the literature behind the common interface.

    Subclasses are called as ``system(image, mask=None, clinical=None)`` with ``image`` float N×1×H×W in 0..1,
    exactly as ``Preprocess`` returns it; any further normalisation is part of the network, so that an exported
    model needs nothing else.
    """

    @abstractmethod
    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Map a batch of images to ``Outputs``."""

    @abstractmethod
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to the class logits for good, in the weights."""

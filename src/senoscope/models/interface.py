"""The one interface every model of Senoscope has: image in, Outputs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Outputs(NamedTuple):
    """What a system returns; parts it does not have are ``None``.

    ``class_logits`` N×C; ``mask_logits`` N×1×H×W at the input's size; ``class_map`` N×C×h×w, the evidence per
    location; ``pool_weights`` N×1×h×w, positive and summing to 1 over locations, with
    ``class_logits == (class_map * pool_weights).sum((2, 3))``; ``boxes`` N×4 (x, y, width, height) in 0..1 of the
    input, one lesion per image; ``contour_logits`` N×1×H×W, the lesion's outline.
    ``auxiliary`` are further outputs that are learnt from too (deep supervision, members of an ensemble); their masks
    may be smaller than the input. Only training reads them.
    """

    class_logits: Tensor | None = None
    mask_logits: Tensor | None = None
    class_map: Tensor | None = None
    pool_weights: Tensor | None = None
    boxes: Tensor | None = None
    contour_logits: Tensor | None = None
    auxiliary: tuple[Outputs, ...] = ()


class System(nn.Module, ABC):
    """A model of the literature behind the common interface.

    Subclasses are called as ``system(image, mask=None, clinical=None)`` with ``image`` float N×1×H×W in 0..1,
    exactly as ``Preprocess`` returns it; any further normalisation is part of the network, so that an exported
    model needs nothing else.
    """

    uses_mask: ClassVar[bool] = False
    """Whether ``forward`` reads ``mask`` (float N×1×H×W, the lesion's true mask), as a few papers' systems do."""

    @abstractmethod
    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Map a batch of images to ``Outputs``."""

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to the class logits for good.

        By convention the layer whose output they are (or are a weighted mean of) is called ``classifier``; a system
        without one has no classes, or overrides this.
        """
        classifier: Any = getattr(self, "classifier", None)
        if classifier is not None:
            classifier.bias += offset.to(classifier.bias)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Told before each epoch of training (counted from 0): a system trained in stages changes stage here."""

    def own_losses(self, outputs: Outputs, masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses of the system's own, by task; one named "class", "mask" or "box" replaces the recipe's.

        ``masks`` N×1×H×W, ``labels`` N with -1 for unknown.
        """
        return {}


class FittedSystem(System):
    """A system whose last stage is fitted to features once the network is trained (an SVM, boosted trees).

    While it trains, and until :meth:`fit`, a plain linear ``classifier`` answers in the fitted stage's place. What is
    fitted is kept in buffers, so it is saved, loaded and exported like any weight. The buffer ``fitted`` (bool) says
    whether there is one.
    """

    fitted: Tensor

    @abstractmethod
    def features(self, image: Tensor) -> Tensor:
        """Features N×F of a batch of images."""

    @abstractmethod
    def fit(self, features: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> None:
        """Fit the last stage to the training images' features N×F and labels N (all known)."""

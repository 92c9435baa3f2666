"""A target's torch network, for what needs gradients: a run's own, or a bundle's, rebuilt from its weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from senoscope import models
from senoscope.errors import SenoscopeError, UsageError
from senoscope.evaluation.cases import Row, case_row
from senoscope.imaging.masks import box_to_mask
from senoscope.imaging.preprocess import Frame, Preprocess
from senoscope.imaging.regions import MASK_THRESHOLD, MIN_AREA, MIN_SHARE, find_regions, lesion_mask
from senoscope.inference.bundle import WEIGHTS, Bundle
from senoscope.inference.runtimes import OnnxNetwork
from senoscope.models.interface import Outputs, System
from senoscope.schema import CLASSES, BoolArray, Sample
from senoscope.training.checkpoint import load_weights, read_tensors
from senoscope.training.predict import RawPrediction, model_input, raw_prediction

Change = Callable[[Tensor, Callable[[Tensor], Outputs], Frame], Tensor]
"""From the network's input 1×1×S×S, the network and the image's frame to another input."""

_AGREES = 1e-3  # largest difference of probabilities between a rebuilt network and the one that ships


@dataclass(frozen=True, slots=True)
class TorchNetwork:
    """A network in evaluation mode and how its answers are read: temperature, and what counts as a lesion."""

    model: System
    preprocess: Preprocess
    mask_given: bool = False
    temperature: float = 1.0
    mask_threshold: float = MASK_THRESHOLD
    min_area: float = MIN_AREA
    min_share: float = MIN_SHARE

    def row(self, sample: Sample, change: Change) -> Row:
        """The row of a prediction table for a sample whose network input was changed."""
        image, given, frame = model_input(self.preprocess, sample, self.mask_given)

        def answer(values: Tensor) -> Outputs:
            outputs: Outputs = self.model(values, **given)
            return outputs

        changed = change(image, answer, frame)
        with torch.inference_mode():
            found = raw_prediction(answer(changed), sample, frame)
        logits = None if found.logits is None else found.logits.astype(np.float64) / self.temperature
        return case_row(sample.record, sample.mask, self._mask(found), logits, CLASSES)

    def _mask(self, found: RawPrediction) -> BoolArray | None:
        size = (found.sample.image.shape[0], found.sample.image.shape[1])
        if found.lesion_map is not None:
            regions = find_regions(found.lesion_map, self.mask_threshold, self.min_area, self.min_share)
            return lesion_mask(regions, size)
        return None if found.box is None else box_to_mask(found.box, size)


def network_of_bundle(bundle: Bundle) -> TorchNetwork:
    """A bundle's network from ``weights.safetensors`` and the system that its card names.

    The card does not hold the options the system was built with, so what is rebuilt is compared with the ONNX file.
    Raises ``UsageError`` where it cannot be rebuilt or answers otherwise.
    """
    card = bundle.card
    failed = UsageError(
        f"the torch network of {bundle.title} cannot be rebuilt from its card and {WEIGHTS}",
        expected=f"the system {card.system} with its usual options",
        fix="attack the training run it was exported from",
    )
    if WEIGHTS not in card.files or card.system not in models.names():
        raise failed
    accepted = inspect.signature(models.info(card.system).resolve()).parameters
    state, _ = read_tensors(bundle.folder / WEIGHTS)
    floats = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    for options in ({}, {"mirror": True}) if "mirror" in accepted else ({},):
        try:
            model = models.create_model(card.system, image_size=card.preprocess.size, **options)
            load_weights(model, floats, bundle.folder / WEIGHTS)
        except SenoscopeError as error:
            raise failed from error
        if _agrees(model.eval(), bundle):
            return TorchNetwork(
                model,
                card.preprocess,
                temperature=card.temperature,
                mask_threshold=card.mask_threshold,
                min_area=card.min_area,
                min_share=card.min_share,
            )
    raise failed


@torch.inference_mode()
def _agrees(model: System, bundle: Bundle) -> bool:
    """Whether a network and the bundle's ONNX file give the same probabilities for an image of noise."""
    size = bundle.card.preprocess.size
    image = np.random.default_rng(0).random((size, size), dtype=np.float32)
    expected, found = OnnxNetwork(bundle, threads=1).run(image), model(torch.from_numpy(image)[None, None])
    pairs = (
        (expected.class_logits, found.class_logits, lambda values: values.softmax(-1)),
        (expected.mask_logits, found.mask_logits, torch.sigmoid),
        (expected.boxes, found.boxes, lambda values: values),
    )
    for shipped, rebuilt, probability in pairs:
        if (shipped is None) != (rebuilt is None):
            return False
        if shipped is not None:
            wanted = probability(torch.from_numpy(shipped).flatten())
            if float((probability(rebuilt.flatten()) - wanted).abs().max()) > _AGREES:
                return False
    return True

"""Predictions of a trained network for records, in the original frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from senoscope.errors import UsageError
from senoscope.imaging.preprocess import Frame, Preprocess
from senoscope.imaging.read import read_sample
from senoscope.imaging.regions import MASK_THRESHOLD, MIN_AREA, MIN_SHARE, find_regions, refine
from senoscope.models.interface import Outputs, System
from senoscope.schema import Box, FloatArray, Record, Sample
from senoscope.training import runs
from senoscope.training.build import build_system
from senoscope.training.checkpoint import load_weights, read_tensors
from senoscope.training.recipe import Recipe, read_recipe


class RawPrediction(NamedTuple):
    """A sample and what the network says of it in the sample's frame; ``None`` is what the system does not give.

    ``logits`` (C), ``lesion_map`` H×W in 0..1, ``box`` in pixels.
    """

    sample: Sample
    logits: FloatArray | None
    lesion_map: FloatArray | None
    box: Box | None = None


def load_run(folder: Path) -> tuple[Recipe, System]:
    """The recipe and trained network of a finished run, in evaluation mode.

    Raises ``UsageError`` if ``folder`` is not a run or is not finished, ``WeightsError`` if its weights are damaged.
    """
    if not (folder / runs.RECIPE).is_file():
        raise UsageError(
            f"{folder} is not a run", expected=f"a folder with {runs.RECIPE}", fix="see 'senoscope train'"
        )
    if not (folder / runs.WEIGHTS).is_file():
        raise UsageError(f"the run {folder} is not finished", fix="finish it with: senoscope train --resume")
    recipe = read_recipe(folder / runs.RECIPE)
    model = build_system(recipe, trained=True)
    load_weights(model, read_tensors(folder / runs.WEIGHTS)[0], folder / runs.WEIGHTS)
    return recipe, model.eval()


def predict(
    model: System,
    preprocess: Preprocess,
    records: Iterable[Record],
    *,
    mask_given: bool = False,
    refined: bool = False,
) -> Iterator[RawPrediction]:
    """Predict record by record, in float32, as a bundle would; see :func:`predict_sample`."""
    for record in records:
        sample = read_sample(record)
        yield predict_sample(model, preprocess, sample, mask_given=mask_given, refined=refined)


@torch.inference_mode()
def predict_sample(
    model: System,
    preprocess: Preprocess,
    sample: Sample,
    *,
    mask_given: bool = False,
    refined: bool = False,
) -> RawPrediction:
    """Predict one sample, in float32.

    With ``mask_given`` the network is handed the sample's true mask (an empty one where none is known), with
    ``refined`` it looks again at a window around what it outlined (``imaging.regions.refine``).
    """
    image, given, frame = model_input(preprocess, sample, mask_given)
    found = raw_prediction(model(image, **given), sample, frame)
    if not refined or found.lesion_map is None:
        return found

    def look(gray: FloatArray) -> FloatArray:
        image, frame = preprocess.apply(gray)
        said = model(torch.from_numpy(image)[None, None])
        return frame.to_original(said.mask_logits[0, 0].sigmoid().numpy())

    regions = find_regions(found.lesion_map, MASK_THRESHOLD, MIN_AREA, MIN_SHARE)
    return found._replace(lesion_map=refine(found.lesion_map, regions, sample.image, look))


def model_input(
    preprocess: Preprocess, sample: Sample, mask_given: bool = False
) -> tuple[Tensor, dict[str, Tensor], Frame]:
    """What a network is called with: the image 1×1×S×S, the mask where it is given one; and the image's frame."""
    prepared, frame = preprocess.apply(sample.image)
    given = {}
    if mask_given:
        mask = np.zeros_like(prepared) if sample.mask is None else preprocess.apply_mask(sample.mask)
        given = {"mask": torch.from_numpy(mask.astype(np.float32))[None, None]}
    return torch.from_numpy(prepared)[None, None], given, frame


def raw_prediction(outputs: Outputs, sample: Sample, frame: Frame) -> RawPrediction:
    """The first image's outputs, without gradients, in the sample's frame."""
    logits, mask_logits, boxes = outputs.class_logits, outputs.mask_logits, outputs.boxes
    return RawPrediction(
        sample,
        None if logits is None else logits[0].numpy(),
        None if mask_logits is None else frame.to_original(mask_logits[0, 0].sigmoid().numpy()),
        None if boxes is None else _box(boxes[0].tolist(), frame),
    )


def _box(box: list[float], frame: Frame) -> Box:
    """A box (x, y, width, height) in 0..1 of the network's square, in the original image's pixels, clipped to it."""
    x, y, width, height = (frame.size * value for value in box)
    sx, sy = frame.width / frame.columns, frame.height / frame.rows
    left, right = (min(max((v - frame.left) * sx, 0.0), frame.width) for v in (x, x + width))
    top, bottom = (min(max((v - frame.top) * sy, 0.0), frame.height) for v in (y, y + height))
    return Box(left, top, right - left, bottom - top)

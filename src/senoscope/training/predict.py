"""Predictions of a trained network for records, in the original frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from senoscope.errors import UsageError
from senoscope.imaging.preprocess import Preprocess
from senoscope.imaging.read import read_sample
from senoscope.models import create_model
from senoscope.models.interface import System
from senoscope.schema import CLASSES, FloatArray, Record, Sample
from senoscope.training import runs
from senoscope.training.checkpoint import load_weights, read_tensors
from senoscope.training.recipe import Recipe, read_recipe


class RawPrediction(NamedTuple):
    """A sample, the network's class logits (C) and its lesion probability H×W in the sample's frame."""

    sample: Sample
    logits: FloatArray
    lesion_map: FloatArray


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
    model = create_model(recipe.system, classes=len(CLASSES), mirror=recipe.mirror)
    load_weights(model, read_tensors(folder / runs.WEIGHTS)[0], folder / runs.WEIGHTS)
    return recipe, model.eval()


@torch.inference_mode()
def predict(model: System, preprocess: Preprocess, records: Iterable[Record]) -> Iterator[RawPrediction]:
    """Predict record by record, in float32, as a bundle would."""
    for record in records:
        sample = read_sample(record)
        prepared, frame = preprocess.apply(sample.image)
        outputs = model(torch.from_numpy(prepared)[None, None])
        lesion_map = frame.to_original(outputs.mask_logits[0, 0].sigmoid().numpy())
        yield RawPrediction(sample, outputs.class_logits[0].numpy(), lesion_map)

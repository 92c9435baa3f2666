"""From a finished run to a bundle: calibrated, checked against the network it came from, usable without torch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from senoscope import data as datasets
from senoscope import models
from senoscope.errors import BundleError, UsageError
from senoscope.evaluation.runs import sides_of
from senoscope.export.calibration import fit
from senoscope.export.card import MODEL, WEIGHTS, make_card
from senoscope.export.network import (
    PARITY,
    check_parity,
    export_onnx,
    outputs_of,
    round_weights,
    save_weights,
    without_norms,
)
from senoscope.inference.bundle import install_bundle
from senoscope.inference.card import DEFAULT_SYSTEM, save_card
from senoscope.schema import Record
from senoscope.training import runs
from senoscope.training.lineage import seen_by
from senoscope.training.predict import load_run, predict
from senoscope.training.recipe import Recipe

__all__ = ["PARITY", "check_parity", "export_onnx", "export_run", "outputs_of"]

_CHECKED = 16
"""Images on which the exported network is compared with the trained one."""


def export_run(
    run: Path,
    out: Path,
    *,
    name: str | None = None,
    results: Path | None = None,
    calibrate_on: Sequence[Path] = (),
    progress: bool = True,
) -> Path:
    """Make a bundle of a finished run of any system in the folder ``out`` and return it.

    Weights are rounded to 16 bits and computed with in 32. Of a system that classifies, temperature and operating
    points are fitted on the run's validation cases, or on ``calibrate_on``: the folds' prediction tables of the same
    recipe, for a run that trained on everything. A system that can be given the lesion's mask is exported as it works
    without. ``results`` is a JSON file of measured figures for the card. The ONNX network must agree with the rounded
    network within ``PARITY`` or ``BundleError`` is raised, and nothing is written.

    Raises ``UsageError`` for an existing ``out``, a folder that is no finished run, a run whose images are not at
    hand, and tables that cannot calibrate this system; ``BundleError`` for a system that ONNX cannot hold.
    """
    if out.exists():
        raise UsageError(f"{out} exists", fix="name another --out, or remove it first")
    recipe, model = load_run(run)
    _require_onnx(recipe)
    gives = outputs_of(model, recipe.preprocess.size)
    _check_tables(recipe, gives, calibrate_on)
    sides = _records(run, recipe)
    # Only of the default network is it known that every norm follows the convolution declared before it.
    folds = recipe.system == DEFAULT_SYSTEM
    round_weights(model, fold_norms=folds)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        save_weights(model, folder / WEIGHTS)
        export_onnx(without_norms(model) if folds else model, recipe.preprocess, folder / MODEL)
        asked = sides["valid"] if "class_logits" in gives and not calibrate_on else sides["valid"][:_CHECKED]
        answers = predict(model, recipe.preprocess, asked)
        predictions = list(track(answers, "Checking", total=len(asked), disable=not progress))
        check_parity(folder / MODEL, model, recipe.preprocess, predictions[:_CHECKED])
        manifest: dict[str, Any] = json.loads((run / runs.MANIFEST).read_text(encoding="utf-8"))
        fitted = (
            fit(calibrate_on, predictions, manifest["data_hash"]) if "class_logits" in gives else (None, {})
        )
        known = seen_by(run / WEIGHTS)
        card = make_card(name or recipe.name, recipe, manifest, gives, sides, known, fitted, folder, results)
        save_card(card, folder)
        install_bundle(folder, out)
    return out


def _require_onnx(recipe: Recipe) -> None:
    reason = str(models.info(recipe.system).facts.get("no_onnx", ""))
    if reason:
        raise BundleError(
            f"{recipe.system} cannot be exported: {reason}",
            expected="a system that can be written as ONNX, which is what a bundle runs",
            fix="measure the run itself with: senoscope evaluate RUN",
        )


def _check_tables(recipe: Recipe, gives: Sequence[str], tables: Sequence[Path]) -> None:
    if tables and "class_logits" not in gives:
        raise UsageError(
            f"{recipe.system} does not classify, so there is nothing to calibrate",
            fix="leave out --calibrate-on",
        )
    if tables and recipe.mask_given:
        raise UsageError(
            "the tables were made with the lesion's true mask given, and the bundle works without it",
            fix="leave out --calibrate-on: the run's validation cases are then asked without masks",
        )


def _records(run: Path, recipe: Recipe) -> dict[str, list[Record]]:
    sides = sides_of(run)
    found: dict[str, list[Record]] = {"train": [], "valid": [], "test": []}
    for source in recipe.data:
        for record in datasets.load(source.name, source.root):
            if record.id in sides:
                found[sides[record.id]].append(record)
    if not found["valid"]:
        raise UsageError(
            f"none of the validation images of {run} is at hand",
            expected="the data the run was trained on: " + ", ".join(source.name for source in recipe.data),
            fix="put it back where the recipe names it",
        )
    return found

"""From a training run to a prediction table, and from the tables of several folds to one."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from senoscope import data as datasets
from senoscope.data.identity import identity
from senoscope.errors import MissingExtraError, TableError
from senoscope.evaluation.cases import Row, case_row, read_table, write_table
from senoscope.evaluation.marks import Marked, united
from senoscope.evaluation.maskfiles import save_mask
from senoscope.evaluation.predict import kept_records
from senoscope.evaluation.table import PredictionTable
from senoscope.imaging.masks import box_to_mask
from senoscope.imaging.regions import MASK_THRESHOLD, MIN_AREA, MIN_SHARE, find_regions
from senoscope.schema import CLASSES, BoolArray, Record

if TYPE_CHECKING:
    from senoscope.training.predict import RawPrediction

MASK_GIVEN = (
    "The lesion's true mask was given to the network at test time: no figure here holds for an image alone."
)

IN_SAMPLE = "TESTED ON ITS OWN TRAINING IMAGES: no figure here says anything about new images."


def predict_run(
    run: Path,
    *,
    data: str | None = None,
    root: Path | None = None,
    in_sample: bool = False,
    masks: bool = True,
    progress: bool = True,
) -> Path:
    """Predict a finished run's test and validation cases into ``predictions.parquet`` in its folder.

    With ``data``, the test cases are all images of that dataset which the run, and what it started from, did not train
    or validate on (written to ``predictions-DATA.parquet``); the table is stamped with the number of those left out.
    With ``in_sample`` they are the run's own training cases, which stamps the table. Masks of the test cases are kept
    beside the table unless ``masks`` is false. Raises ``UsageError`` if ``run`` is not a finished run,
    ``MissingExtraError`` without the training extra.
    """
    try:
        from senoscope.training.predict import load_run, predict
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"a run needs {error.name}", fix="pip install 'senoscope[train]'") from None
    recipe, model = load_run(run)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    sides = sides_of(run)
    roots = {source.name: source.root for source in recipe.data}
    folds = {source.name: source.fold or 0 for source in recipe.data}
    known = [r for name, place in roots.items() for r in datasets.load(name, place)]
    valid = [r for r in known if sides.get(r.id) == "valid"]
    stamps = list(manifest["stamps"])
    if data is None:
        test = [r for r in known if sides.get(r.id) == ("train" if in_sample else "test")]
        stamps += [IN_SAMPLE] if in_sample else []
    else:
        test, left_out = unseen(run, data, root)
        stamps += left_out
        # Another hospital's folder may hold the same names.
        valid = [r if identity(r) == r.id else replace(r, id=f"{identity(r)} {r.id}") for r in valid]
    if not test:
        raise TableError(
            f"the run {run} leaves no image to test on",
            expected="a run with a held-out fold",
            fix="name a dataset it did not train on with --data",
        )
    out = run / (f"predictions-{data}.parquet" if data else "predictions.parquet")
    sided = [*((r, "valid") for r in valid), *((r, "test") for r in test)]
    rows: list[Row] = []
    predictions = predict(
        model,
        recipe.preprocess,
        [r for r, _ in sided],
        mask_given=recipe.mask_given,
        refined=recipe.refine,
    )
    if recipe.mask_given:
        stamps.append(MASK_GIVEN)
    for (record, side), found in track(
        zip(sided, predictions, strict=True),
        "Predicting",
        total=len(sided),
        disable=not progress,
        transient=True,
    ):
        regions = scored_regions(found)
        mask = predicted_mask(found, regions)
        fold = folds.get(record.dataset, max(folds.values()))
        rows.append(case_row(record, found.sample.mask, mask, found.logits, CLASSES, fold, side, regions))
        if masks and side == "test" and mask is not None:
            save_mask(out.parent, record.dataset, record.id, mask)
    write_table(rows, out, _metadata(recipe.system, manifest, data, stamps))
    return out


def unseen(run: Path, data: str, root: Path | None = None) -> tuple[list[Record], list[str]]:
    """The images of a dataset that a run, and what it started from, did not train or validate on.

    Beside them the stamp that says how many were left out, if any.
    """
    from senoscope.training.lineage import is_seen, seen_by

    kept, seen = kept_records(data, root), seen_by(run / "weights.safetensors")
    left = [record for record in kept if not is_seen(record, seen)]
    out = len(kept) - len(left)
    return left, [f"{out} of {len(kept)} images of {data} were seen in training and left out."] if out else []


def scored_regions(found: RawPrediction) -> list[Marked] | None:
    """The lesions a network outlines in an image, with their mean probability; its box (1) if it only gives boxes."""
    height, width = found.sample.image.shape
    if found.lesion_map is not None:
        regions = find_regions(found.lesion_map, MASK_THRESHOLD, MIN_AREA, MIN_SHARE)
        return [Marked(region.full_mask((height, width)), region.confidence) for region in regions]
    return None if found.box is None else [Marked(box_to_mask(found.box, (height, width)), 1.0)]


def predicted_mask(found: RawPrediction, regions: Sequence[Marked] | None = None) -> BoolArray | None:
    """The lesions a network outlines in an image, united, bool H×W; ``regions`` if they are known already."""
    height, width = found.sample.image.shape
    regions = scored_regions(found) if regions is None else regions
    return None if regions is None else united(regions, (height, width))


def sides_of(run: Path) -> dict[str, str]:
    """Each case's side (train, valid or test) in a run, by id; not those that only its starting weights have seen."""
    with (run / "cases.csv").open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row["side"] for row in csv.DictReader(stream) if row["side"] != "before"}


def _metadata(
    system: str, manifest: dict[str, Any], data: str | None, stamps: Sequence[str]
) -> dict[str, Any]:
    splits: dict[str, str] = manifest["splits"]
    names, _, hashes = zip(*(text.partition("@") for text in splits.values()), strict=True)
    return {
        "system": system,
        "split": f"trained on {' + '.join(splits)}, tested on {data}" if data else " + ".join(names),
        "split_hash": "+".join(hashes),
        "stamps": list(stamps),
        "machine": f"{os.cpu_count()} × {platform.machine()} CPU",
    }


def pool(tables: Iterable[Path | PredictionTable]) -> PredictionTable:
    """Join the folds' tables of one system into an out-of-fold table.

    Stamps unite. Raises ``TableError`` for an empty list and for a case tested twice.
    """
    parts = [read_table(t) if isinstance(t, Path) else t for t in tables]
    if not parts:
        raise TableError("no prediction tables to pool", expected="one table per fold")
    names = [f.name for f in fields(PredictionTable) if f.name != "metadata"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    tested = [(d, i) for d, i, t in zip(columns["dataset"], columns["id"], columns["test"], strict=True) if t]
    if len(set(tested)) < len(tested):
        raise TableError(
            f"{len(tested) - len(set(tested))} cases are tested in more than one of the tables",
            expected="each case in one fold",
            fix="name each fold's run once",
        )
    stamps = list(dict.fromkeys(stamp for part in parts for stamp in part.stamps))
    return PredictionTable(**columns, metadata={**parts[0].metadata, "stamps": stamps})

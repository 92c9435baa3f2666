"""What the shipped recipe would score on BUSI if copies were not kept apart; writes docs/results/kinder-splits.json.

    python benchmarks/kinder_splits.py --runs runs

The recipe `busi-folds`, unchanged and from the same network ``bus-bra`` (which `benchmarks/senoscope_us.py` leaves in
``--runs``), learns the 762 images of `busi-grouped-5fold` in three divisions of the same sizes:

- ``random``: no image is tied to another;
- ``hash``: near-duplicates by the usual rule of thumb stay together (hash within 6 bits, thumbnail correlation of 0.9);
- ``frozen``: the project's own, which finds crops too and joins frames of one lesion that were recognised by eye. Its
  runs are those of `benchmarks/senoscope_us.py`.

Runs ``random-foldK`` and ``hash-foldK`` are resumable; they leak, so each is stamped, and none tells the model's worth.
With ``--divisions`` only the runs of those are trained and nothing is measured, for two processes side by side.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from duplicates import HASH_RULE
from senoscope import data
from senoscope._files import write_text
from senoscope.data._hashing import shrink, strip_border
from senoscope.data.duplicates import find_duplicates
from senoscope.data.splits import Split, load_split, make_split, save_split
from senoscope.evaluation.compare import compare_tables
from senoscope.evaluation.runs import pool
from senoscope.evaluation.table import PredictionTable
from senoscope.imaging.read import read_image, to_gray
from senoscope.schema import Record
from senoscope_us import BUSI_RUNS, RESULTS, figures, predicted

OUT = RESULTS / "kinder-splits.json"
FROZEN = "busi-grouped-5fold"
FOLDS = range(1, 6)
FIGURES = ("accuracy", "auc_benign_malignant", "dice")


def divide(name: str) -> Split:
    """The 762 images in five folds, tied by nothing or by the hash rule."""
    frozen = load_split(FROZEN)
    records = [record for record in data.load("busi") if frozen.fold_of(record.id) is not None]
    if name == "random":
        return make_split(records, len(FOLDS), seed=0, by=(), name="busi-random")
    return make_split(tied(records), len(FOLDS), seed=0, name="busi-hash")


def tied(records: list[Record]) -> list[Record]:
    """The records with the groups of the hash rule instead of their own."""
    found = find_duplicates([shrink(strip_border(to_gray(read_image(r.image)))) for r in records], HASH_RULE)
    group = {index: f"hash-{number}" for number, group in enumerate(found.groups) for index in group}
    return [replace(record, group=group.get(index)) for index, record in enumerate(records)]


def train_all(runs: Path, name: str) -> None:
    """The five folds of a division."""
    from senoscope.training.loop import train
    from senoscope.training.recipe import find_recipe, hold_out, read_recipe

    file = runs / f"busi-{name}.csv"
    if not file.is_file():
        save_split(divide(name), file)
    start = str(runs / "bus-bra/weights.safetensors")
    recipe = read_recipe(find_recipe("busi-folds"), init_weights=start)
    (source,) = recipe.data
    recipe = recipe.model_copy(update={"data": (source.model_copy(update={"split": str(file)}),)})
    for fold in FOLDS:
        folder = runs / f"{name}-fold{fold}"
        if not (folder / "weights.safetensors").is_file():
            resume = (folder / "recipe.yaml").is_file()
            train(hold_out(recipe, fold), folder, resume=resume, allow_leaks=True)


def origin(runs: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The split, and the commits that the runs were trained from."""
    manifests = [json.loads((runs / name / "manifest.json").read_text(encoding="utf-8")) for name in names]
    return {
        "split": manifests[0]["splits"]["busi"],
        "commits": sorted({str(manifest["commit"]) for manifest in manifests}),
    }


def gain(table: PredictionTable, frozen: PredictionTable) -> dict[str, Any]:
    """What a division's figures are above the frozen split's, case by case. Their splits differ, and are left out."""
    found = compare_tables(replace(table, metadata={}), replace(frozen, metadata={}))["figures"]
    return {
        name: {key: found[name][key] for key in ("difference", "low", "high", "p", "n")} for name in FIGURES
    }


def main() -> None:
    """Train what is missing and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--divisions", nargs="+", choices=("random", "hash"))
    arguments = parser.parse_args()
    runs: Path = arguments.runs
    for name in arguments.divisions or ("random", "hash"):
        train_all(runs, name)
    if arguments.divisions:
        return
    divisions = {name: tuple(f"{name}-fold{fold}" for fold in FOLDS) for name in ("random", "hash")}
    divisions["frozen"] = BUSI_RUNS
    tables = {name: pool([predicted(runs, run) for run in names]) for name, names in divisions.items()}
    content = {
        "command": "python benchmarks/kinder_splits.py",
        "protocol": f"recipe busi-folds on the 762 images of {FROZEN}, five folds of three divisions, out-of-fold",
        "interval": "95 % percentile bootstrap of the frozen split's duplicate groups, 2000 resamples",
        "machine": "2-core x86-64 CPU, no accelerator",
        "figures": {
            name: figures(tables[name], *FIGURES) | origin(runs, divisions[name]) for name in divisions
        },
        "above_frozen": {name: gain(tables[name], tables["frozen"]) for name in ("random", "hash")},
    }
    write_text(OUT, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

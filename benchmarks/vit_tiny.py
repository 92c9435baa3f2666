"""How much a larger pretrained encoder would bring to BUSI's classes; writes docs/results/vit-tiny.json.

    python benchmarks/vit_tiny.py --runs runs --encoder-weights vit_tiny_patch16_224.safetensors

ViT-Tiny (AugReg weights, Steiner et al. 2022; 5.5 M parameters, about twice what the shipped network may have), classes
only, learns by the recipes `bus-bra` and `busi-folds` at 224 px: runs ``vit-bus-bra``, ``vit-busi-foldK``, resumable.
Measured are its out-of-fold answers, and their mean (of the logarithms of the probabilities) with those of the runs
``busi-foldK`` that `benchmarks/senoscope_us.py` leaves. ViT-Tiny looks once, without the mirror image.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from senoscope._files import write_text
from senoscope.evaluation.runs import pool
from senoscope.evaluation.table import PredictionTable
from senoscope_us import BUSI_RUNS, RESULTS, figures, predicted

OUT = RESULTS / "vit-tiny.json"
FIGURES = ("accuracy", "auc_benign_malignant")
VIT_RUNS = tuple(f"vit-{name}" for name in BUSI_RUNS)
CHANGES: dict[str, Any] = {
    "system": "buvitnet",
    "options": {"encoder": "vit_tiny_patch16_224"},
    "preprocess": {"size": 224},
    "train_size": 224,
    "source_size": None,
    "refine": False,
    "lr": 3e-4,
}


def train_all(runs: Path, encoder: Path | None) -> None:
    """BUS-BRA first, then BUSI's folds."""
    from senoscope.training.loop import train
    from senoscope.training.recipe import find_recipe, hold_out, read_recipe

    start: dict[str, Any] = {"encoder_weights": str(encoder)} if encoder else {"pretrained": True}
    first = runs / "vit-bus-bra"
    jobs = [(first, read_recipe(find_recipe("bus-bra"), **CHANGES, **start, epochs=10))]
    folds = read_recipe(find_recipe("busi-folds"), **CHANGES, init_weights=str(first / "weights.safetensors"))
    jobs += [(runs / name, hold_out(folds, int(name[-1]))) for name in VIT_RUNS]
    for folder, recipe in jobs:
        if not (folder / "weights.safetensors").is_file():
            train(recipe, folder, resume=(folder / "recipe.yaml").is_file())


def out_of_fold(runs: Path, names: Iterable[str]) -> PredictionTable:
    """The folds' test cases, in the order of their ids."""
    table = pool([predicted(runs, name) for name in names])
    test = table.where(table.test)
    return test.where(np.argsort(test.id))


def commit(run: Path) -> str | None:
    """The commit a run was trained from, ``None`` where it names none."""
    found: str | None = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["commit"]
    return found


def main() -> None:
    """Train what is missing and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--encoder-weights", type=Path)
    arguments = parser.parse_args()
    runs = arguments.runs
    train_all(runs, arguments.encoder_weights)
    large, small = out_of_fold(runs, VIT_RUNS), out_of_fold(runs, BUSI_RUNS)
    if list(large.id) != list(small.id):
        raise SystemExit("the two families of runs do not test the same cases")
    logits = (log_softmax(large.logits, axis=1) + log_softmax(small.logits, axis=1)) / 2
    mean = replace(small, logits=logits, probabilities=softmax(logits, axis=1))
    tables = {"vit_tiny": large, "shipped_recipe": small, "mean_of_both": mean}
    results: dict[str, Any] = {name: figures(table, *FIGURES) for name, table in tables.items()}
    results["about"] = {
        "command": "python benchmarks/vit_tiny.py",
        "split": large.metadata["split"],
        "interval": "95 % percentile bootstrap of duplicate groups, 2000 resamples",
        "machine": "2-core x86-64 CPU, no accelerator",
        "commits": {name: commit(runs / name) for name in (*VIT_RUNS, *BUSI_RUNS)},
    }
    write_text(OUT, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from senoscope._files import write_text
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.metrics import estimators
from senoscope.evaluation.runs import pool, predict_run
from senoscope.evaluation.table import PredictionTable

OUT = Path(__file__).resolve().parents[1] / "docs/results/vit-tiny.json"
FOLDS, FIGURES = range(1, 6), ("accuracy", "auc_benign_malignant")
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
    jobs += [(runs / f"vit-busi-fold{fold}", hold_out(folds, fold)) for fold in FOLDS]
    for folder, recipe in jobs:
        if not (folder / "weights.safetensors").is_file():
            train(recipe, folder, resume=(folder / "recipe.yaml").is_file())


def out_of_fold(runs: Path, family: str) -> PredictionTable:
    """The folds' test cases, in the order of their ids."""
    tables = []
    for fold in FOLDS:
        path = runs / f"{family}{fold}" / "predictions.parquet"
        tables.append(read_table(path if path.is_file() else predict_run(path.parent, masks=False)))
    table = pool(tables)
    test = table.where(table.test)
    return test.where(np.argsort(test.id))


def figures(table: PredictionTable) -> dict[str, Any]:
    """Accuracy and AUC with clustered intervals."""
    wanted = {name: figure for name, figure in estimators(table).items() if name in FIGURES}
    return {name: dict(leaf) for name, leaf in bootstrap(wanted, table.cluster).items()}


def main() -> None:
    """Train what is missing and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--encoder-weights", type=Path)
    arguments = parser.parse_args()
    train_all(arguments.runs, arguments.encoder_weights)
    large, small = out_of_fold(arguments.runs, "vit-busi-fold"), out_of_fold(arguments.runs, "busi-fold")
    if list(large.id) != list(small.id):
        raise SystemExit("the two families of runs do not test the same cases")
    logits = (log_softmax(large.logits, axis=1) + log_softmax(small.logits, axis=1)) / 2
    mean = replace(small, logits=logits, probabilities=softmax(logits, axis=1))
    results = {"vit_tiny": figures(large), "shipped_recipe": figures(small), "mean_of_both": figures(mean)}
    results["about"] = {
        "command": "python benchmarks/vit_tiny.py",
        "split": large.metadata["split"],
        "interval": "95 % percentile bootstrap of duplicate groups, 2000 resamples",
        "machine": "2-core x86-64 CPU, no accelerator",
    }
    write_text(OUT, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

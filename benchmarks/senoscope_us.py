"""Train and measure the default model by every protocol the project reports; writes docs/results/senoscope-us.json.

    python benchmarks/senoscope_us.py --runs runs --encoder-weights mobilenetv2_100.safetensors

Stages, each resumable and each leaving its files in ``--runs``: five folds of BUSI and BUS-BRA together; BUSI alone
and BUS-BRA alone, for the tests across hospitals; fold 1's network carried on with all data, for the bundle that
ships, calibrated on the folds' out-of-fold predictions. Finished runs are not trained again. Thresholds and
temperatures of the figures come from validation cases inside the training part; test folds choose nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from senoscope import data as datasets
from senoscope._files import write_text
from senoscope.data.phantoms import write_dataset
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import from_rows, read_table
from senoscope.evaluation.metrics import estimators
from senoscope.evaluation.predict import predict_dataset
from senoscope.evaluation.runs import pool, predict_run
from senoscope.evaluation.summary import summarise, write_summary
from senoscope.evaluation.table import PredictionTable
from senoscope.inference.bundle import load_bundle

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
BUNDLE = ROOT / "src/senoscope/bundles/senoscope-us"
FOLDS = (1, 2, 3, 4, 5)
UNSEEN_PHANTOMS, PHANTOM_SEED = 100, 2026

Leaf = dict[str, Any]


def train_all(runs: Path, encoder: Path | None) -> None:
    """Train what is not finished, cheapest protocol first."""
    from senoscope.training.loop import train
    from senoscope.training.recipe import find_recipe, hold_out, read_recipe

    start: dict[str, Any] = {"encoder_weights": str(encoder)} if encoder else {"pretrained": True}
    finish = {"init_weights": str(runs / "fold1" / "weights.safetensors")}
    jobs: list[tuple[str, int | None, str, dict[str, Any]]] = [
        ("busi", None, "busi", start),
        ("bus-bra", None, "bus-bra", start),
        *((f"fold{fold}", fold, "senoscope-us", start) for fold in FOLDS),
        ("all", None, "senoscope-us-finish", finish),
    ]
    for name, fold, recipe_name, options in jobs:
        out = runs / name
        if (out / "weights.safetensors").is_file():
            continue
        recipe = read_recipe(find_recipe(recipe_name), **options)
        recipe = hold_out(recipe, fold) if fold else recipe
        train(recipe, out, resume=(out / "recipe.yaml").is_file())


def predicted(runs: Path, name: str, data: str | None = None) -> PredictionTable:
    """The prediction table of a run, made once."""
    path = runs / name / (f"predictions-{data}.parquet" if data else "predictions.parquet")
    return read_table(path if path.is_file() else predict_run(runs / name, data=data))


def figures(table: PredictionTable, *names: str) -> dict[str, Leaf]:
    """The named figures of a table's test cases with clustered intervals."""
    test, cluster = table.where(table.test), table.cluster[table.test]
    wanted = {name: found for name, found in estimators(test).items() if name in names}
    return {name: dict(leaf) for name, leaf in bootstrap(wanted, cluster).items()}


def auc_and_dice(table: PredictionTable) -> dict[str, Leaf]:
    """AUC of malignant against benign lesions, and Dice per lesion image."""
    found = figures(table, "auc_benign_malignant", "dice")
    return {"auc": found["auc_benign_malignant"], "dice": found["dice"]}


def measure(runs: Path) -> dict[str, Any]:
    """Every figure but the speeds, from prediction tables."""
    folds = pool([predicted(runs, f"fold{fold}") for fold in FOLDS])
    busi = folds.where(np.asarray(folds.dataset == "busi"))
    bus_bra = folds.where(np.asarray(folds.dataset == "bus-bra"))
    to_bra, to_busi = predicted(runs, "busi", "bus-bra"), predicted(runs, "bus-bra", "busi")
    tables = {"busi": busi, "bus-bra": bus_bra, "busi-to-bus-bra": to_bra, "bus-bra-to-busi": to_busi}
    if (runs / "bus-bra-first").is_dir():  # the recipe's first version, kept because its result was seen
        tables["bus-bra-to-busi-first"] = predicted(runs, "bus-bra-first", "busi")
    for name, table in tables.items():
        write_summary(summarise(table), RESULTS / f"senoscope-us-{name}.json")
    return {
        "busi_grouped_5fold": figures(busi, "accuracy", "auc_benign_malignant", "dice"),
        "bus_bra_folds_1_4": auc_and_dice(bus_bra),
        "busi_to_bus_bra": auc_and_dice(to_bra),
        "bus_bra_to_busi": auc_and_dice(to_busi),
        "calibration": {"ece": summarise(folds)["calibrated"]["ece"]},
    }


def measure_phantoms() -> dict[str, Leaf]:
    """The shipped bundle on simulated images it was not trained on."""
    with tempfile.TemporaryDirectory() as folder:
        records = write_dataset(Path(folder), UNSEEN_PHANTOMS, seed=PHANTOM_SEED)
        found = predict_dataset(load_bundle(BUNDLE), records, allow_in_sample=True)
        return figures(from_rows(found.rows), "dice", "accuracy")


def speeds() -> dict[str, Leaf]:
    """What the two speed benchmarks wrote."""
    found = {}
    for key, file in (
        ("analyze_ms_median", "analyze-speed.json"),
        ("train_ratio_vs_plain", "train-speed.json"),
    ):
        path = RESULTS / file
        if path.is_file():
            found[key] = json.loads(path.read_text(encoding="utf-8"))[key]
    return found


def about(runs: Path) -> dict[str, Any]:
    """How the figures were made: recipes, lengths, cases, machine."""
    told = {}
    for name in ("busi", "bus-bra", *(f"fold{fold}" for fold in FOLDS), "all"):
        manifest = json.loads((runs / name / "manifest.json").read_text(encoding="utf-8"))
        epochs = sum(1 for _ in (runs / name / "metrics.jsonl").open(encoding="utf-8"))
        told[name] = {key: manifest[key] for key in ("cases", "splits", "seed", "commit", "versions")} | {
            "epochs": epochs
        }
    return {
        "command": "python benchmarks/senoscope_us.py",
        "interval": "95 % percentile bootstrap of duplicate groups or patients, 2000 resamples",
        "protocol": "folds 1-5 train on BUSI and BUS-BRA together, without the fold's cases of either",
        "machine": "2-core x86-64 CPU, no accelerator",
        "runs": told,
    }


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--encoder-weights", type=Path)
    arguments = parser.parse_args()
    if datasets.is_found("busi") and datasets.is_found("bus-bra"):
        train_all(arguments.runs, arguments.encoder_weights)
    from senoscope.export import export_run

    out = RESULTS / "senoscope-us.json"
    results = measure(arguments.runs)
    write_text(out, json.dumps(results, indent=2) + "\n")
    fresh = arguments.runs / "all" / "bundle"
    if not fresh.is_dir():
        tables = [arguments.runs / f"fold{fold}" / "predictions.parquet" for fold in FOLDS]
        export_run(arguments.runs / "all", fresh, name="senoscope-us", results=out, calibrate_on=tables)
    from senoscope.inference.bundle import install_bundle

    install_bundle(fresh, BUNDLE)
    results |= {"phantoms": measure_phantoms(), "speed": speeds(), "about": about(arguments.runs)}
    write_text(out, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

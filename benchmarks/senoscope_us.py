"""Train and measure the default model by every protocol the project reports; writes docs/results/senoscope-us.json.

    python benchmarks/senoscope_us.py --runs runs --encoder-weights mobilenetv2_100.safetensors

Stages, each resumable and each leaving its files in ``--runs``:

- ``busi`` and ``bus-bra``: one hospital alone, from ImageNet weights; BUS-BRA goes on to ``bus-bra-outward`` and
  ``bus-bra-wide``. ``busi`` and ``bus-bra-wide`` are tested on the other hospital as it is;
- ``busi-foldK`` (K = 1-5) from ``bus-bra``, ``bus-bra-foldK`` (K = 1-4) from ``busi``: what the network learnt
  first comes from the other hospital, so no tested image was ever seen;
- ``all``: both hospitals, everything, from ``bus-bra``: the network that ships, with the temperature and thresholds of
  the folds' out-of-fold predictions.

Finished runs are not trained again. Thresholds and temperatures of the figures come from validation cases inside the
training part; test folds choose nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

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
BUSI_RUNS = tuple(f"busi-fold{fold}" for fold in range(1, 6))
BUS_BRA_RUNS = tuple(f"bus-bra-fold{fold}" for fold in range(1, 5))
UNSEEN_PHANTOMS, PHANTOM_SEED = 100, 2026

Leaf = dict[str, Any]


def train_all(runs: Path, encoder: Path | None) -> None:
    """Train what is not finished, cheapest protocol first."""
    from senoscope.training.loop import train
    from senoscope.training.recipe import find_recipe, hold_out, read_recipe

    start: dict[str, Any] = {"encoder_weights": str(encoder)} if encoder else {"pretrained": True}

    def after(name: str) -> dict[str, Any]:
        return {"init_weights": str(runs / name / "weights.safetensors")}

    jobs: list[tuple[str, int | None, str, dict[str, Any]]] = [
        ("busi", None, "busi", start),
        ("bus-bra", None, "bus-bra", start),
        ("bus-bra-outward", None, "bus-bra-outward", after("bus-bra")),
        ("bus-bra-wide", None, "bus-bra-wide", after("bus-bra-outward")),
        *((name, int(name[-1]), "busi-folds", after("bus-bra")) for name in BUSI_RUNS),
        *((name, int(name[-1]), "bus-bra-folds", after("busi")) for name in BUS_BRA_RUNS),
        ("all", None, "senoscope-us", after("bus-bra")),
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
    """Every figure but the speeds, from prediction tables; summaries in full are written beside."""
    tables = {
        "busi": pool([predicted(runs, name) for name in BUSI_RUNS]),
        "bus-bra": pool([predicted(runs, name) for name in BUS_BRA_RUNS]),
        "busi-to-bus-bra": predicted(runs, "busi", "bus-bra"),
        "bus-bra-to-busi": predicted(runs, "bus-bra-wide", "busi"),
    }
    for name, table in tables.items():
        write_summary(summarise(table), RESULTS / f"senoscope-us-{name}.json")
    apart = replace(
        tables["bus-bra"], fold=tables["bus-bra"].fold + 10
    )  # each fold keeps its own temperature
    return {
        "busi_grouped_5fold": figures(tables["busi"], "accuracy", "auc_benign_malignant", "dice"),
        "bus_bra_folds_1_4": auc_and_dice(tables["bus-bra"]),
        "busi_to_bus_bra": auc_and_dice(tables["busi-to-bus-bra"]),
        "bus_bra_to_busi": auc_and_dice(tables["bus-bra-to-busi"]),
        "calibration": {"ece": summarise(pool([tables["busi"], apart]))["calibrated"]["ece"]},
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
    for name in (
        "busi",
        "bus-bra",
        "bus-bra-outward",
        "bus-bra-wide",
        *BUSI_RUNS,
        *BUS_BRA_RUNS,
        "all",
    ):
        manifest = json.loads((runs / name / "manifest.json").read_text(encoding="utf-8"))
        epochs = sum(1 for _ in (runs / name / "metrics.jsonl").open(encoding="utf-8"))
        told[name] = {key: manifest[key] for key in ("cases", "splits", "seed", "commit", "versions")} | {
            "epochs": epochs
        }
    return {
        "command": "python benchmarks/senoscope_us.py",
        "interval": "95 % percentile bootstrap of duplicate groups or patients, 2000 resamples",
        "protocol": "folds start from a network that learnt at the other hospital; see benchmarks/senoscope_us.py",
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
        tables = [arguments.runs / name / "predictions.parquet" for name in (*BUSI_RUNS, *BUS_BRA_RUNS)]
        export_run(arguments.runs / "all", fresh, name="senoscope-us", results=out, calibrate_on=tables)
    from senoscope.inference.bundle import install_bundle

    install_bundle(fresh, BUNDLE)
    results |= {"phantoms": measure_phantoms(), "speed": speeds(), "about": about(arguments.runs)}
    write_text(out, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The default model on BUSI's folds, learning beside BUS-BRA: a pretrained row beside the quick track's systems.

    python benchmarks/busi_joint.py --runs runs --encoder-weights mobilenetv2_100.safetensors

Trains `bus-bra` and, from it, the recipe `busi-joint` for each fold of BUSI (BUS-BRA is used whole), resumably. Writes
the out-of-fold table to benchmark/results/external/busi/ and its figures to docs/results/busi-joint.json. With
``--compare`` only the last step: paired tests against every system of the literature with at most 5 M parameters that
has a result on BUSI's grouped folds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from senoscope import models
from senoscope._files import write_text
from senoscope.benchmark.results import EXTERNAL, load_results, pooled
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.compare import compare_tables
from senoscope.evaluation.paired import holm
from senoscope.evaluation.runs import predict_run
from senoscope.evaluation.summary import summarise
from senoscope.evaluation.tablefiles import read_parquet, write_parquet

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmark/results"
TABLE = RESULTS / EXTERNAL / "busi/senoscope-us-joint.parquet"
OUT = ROOT / "docs/results/busi-joint.json"
FOLDS, SMALL, OWN = range(1, 6), 5_000_000, "senoscope-us"
FIGURES = ("accuracy", "auc_benign_malignant", "dice")
NOTE = (
    "The default model as its users get it: ImageNet encoder, 18 epochs on BUS-BRA, 12 on BUSI's training folds beside "
    "BUS-BRA (recipe busi-joint, 224 px). More data, time and pixels than the quick track's systems have."
)


def train_all(runs: Path, encoder: Path) -> None:
    """The network that starts the folds, and the folds."""
    from senoscope.training.loop import train
    from senoscope.training.recipe import find_recipe, read_recipe

    first = runs / "bus-bra"
    jobs = [(first, read_recipe(find_recipe("bus-bra"), encoder_weights=str(encoder)))]
    start = read_recipe(find_recipe("busi-joint"), init_weights=str(first / "weights.safetensors"))
    for fold in FOLDS:
        busi, other = start.data
        held = start.model_copy(update={"data": (busi.model_copy(update={"fold": fold}), other)})
        jobs.append((runs / f"busi-joint-fold{fold}", held))
    for folder, recipe in jobs:
        if not (folder / "weights.safetensors").is_file():
            train(recipe, folder, resume=(folder / "recipe.yaml").is_file())


def keep_table(runs: Path) -> None:
    """The folds' predictions of BUSI as one table."""
    columns: dict[str, list[Any]] = {}
    for fold in FOLDS:
        run = runs / f"busi-joint-fold{fold}"
        path = run / "predictions.parquet"
        found, metadata = read_parquet(path if path.is_file() else predict_run(run, masks=False))
        chosen = [row for row, name in enumerate(found["dataset"]) if name == "busi"]
        for name, values in found.items():
            columns.setdefault(name, []).extend(values[row] for row in chosen)
    splits = dict(zip(metadata["split"].split(" + "), metadata["split_hash"].split("+"), strict=True))
    split = "busi-grouped-5fold"
    note = {
        EXTERNAL: {"name": "senoscope-us, pretrained", "note": NOTE},
        "split": split,
        "split_hash": splits[split],
    }
    write_parquet(columns, TABLE, {**metadata, **note})


def compare_small() -> dict[str, Any]:
    """Paired tests against the small systems, their p adjusted by Holm over all of them."""
    own, folds = read_table(TABLE), {}
    for result in load_results(RESULTS):
        job, size = result.job, models.info(result.job.system).facts["params"]
        kind = (job.dataset, job.protocol, job.variant)
        if kind == ("busi", "grouped-5fold", "") and size <= SMALL and job.system != OWN:
            folds.setdefault(job.system, []).append(result)
    found: dict[str, Any] = {}
    for name, results in sorted(folds.items()):
        other = pooled(results)
        tested = set(other.id[other.test])
        shared = own.where(own.test & [case in tested for case in own.id])
        test = compare_tables(shared, other.where(other.test), ("senoscope-us", name))
        found[name] = {"folds": len(results)} | {
            figure: {
                key: test["figures"][figure][key]
                for key in ("first", "second", "difference", "low", "high", "p", "n")
            }
            for figure in FIGURES[1:]
            if figure in test["figures"]
        }
    pairs = [(name, figure) for name, figures in found.items() for figure in figures if figure != "folds"]
    for (name, figure), p in zip(pairs, holm([found[n][f]["p"] for n, f in pairs]), strict=True):
        found[name][figure]["p_holm"] = p
    return found


def main() -> None:
    """Train what is missing, and write the table and the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--encoder-weights", type=Path)
    parser.add_argument("--compare", action="store_true")
    arguments = parser.parse_args()
    if not arguments.compare:
        train_all(arguments.runs, arguments.encoder_weights)
        keep_table(arguments.runs)
    summary = summarise(read_table(TABLE))
    content = {
        "command": "python benchmarks/busi_joint.py",
        "protocol": "BUSI, busi-grouped-5fold, out-of-fold",
        "interval": summary["method"]["interval"],
        "machine": "2-core x86-64 CPU, no accelerator",
        "figures": {name: summary["figures"][name] for name in FIGURES},
        "folds": {name: summary["folds"][name]["values"] for name in FIGURES},
        "ece": summary["calibrated"]["ece"],
        "against_small_systems": compare_small(),
    }
    write_text(OUT, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

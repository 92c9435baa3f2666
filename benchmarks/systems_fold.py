"""One honest BUSI fold for every system, all alike; tables to docs/results/systems-busi-fold1/, figures beside.

    python benchmarks/systems_fold.py --runs runs/fold1 [--minutes 60] [--systems NAME ...]

The protocol is the same for all: fold 1 of the frozen grouped split held out, 128×128 px (or the next size a system
takes), 15 epochs, batch 16, one seed, the same augmentation, the system's own losses and learning rate, no pretrained
weights, the epoch chosen on validation. Cheapest first, by GMACs; a system that does not fit the time left is listed as
missing. Finished runs are kept, stopped ones resumed, and several processes may share the work.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

from senoscope import models
from senoscope._files import write_text
from senoscope.errors import SenoscopeError, UsageError
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.metrics import estimators
from senoscope.evaluation.runs import predict_run

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs/results/systems-busi-fold1"
FOLD, SIZE, EPOCHS, SEED = 1, 128, 15, 0
FIGURES = ("accuracy", "auc_benign_malignant", "dice", "iou", "false_positive_rate")


def size_of(name: str) -> int:
    """128, or the next larger size the system takes."""
    facts = models.info(name).facts
    step, least = int(facts.get("size_multiple", 1)), int(facts.get("min_size", 1))
    return -(-max(SIZE, least) // step) * step


def cost(name: str) -> float:
    """GMACs of one image at the size it is trained at, roughly."""
    facts = models.info(name).facts
    return float(facts["gmacs"]) * (size_of(name) / int(facts["native_size"])) ** 2


def train_one(name: str, folder: Path, threads: int) -> None:
    """Train, predict, and keep the prediction table."""
    from senoscope.training.build import recipe_for
    from senoscope.training.loop import train
    from senoscope.training.recipe import hold_out

    recipe = recipe_for(name, ["busi"], image_size=size_of(name), epochs=EPOCHS, batch=16, seed=SEED,
                        threads=threads, patience=EPOCHS)  # fmt: skip
    if not (folder / "weights.safetensors").is_file():
        train(hold_out(recipe, FOLD), folder, resume=(folder / "recipe.yaml").is_file(), progress=False)
    table = predict_run(folder, masks=False, progress=False)
    OUT.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(table, OUT / f"{name}.parquet")
    (folder / "state.safetensors").unlink(missing_ok=True)  # three copies of the weights


def report() -> None:
    """Figures with intervals of every table there is, and the names of the systems without one."""
    found: dict[str, Any] = {}
    for name in models.names():
        path = OUT / f"{name}.parquet"
        if path.is_file():
            table = read_table(path)
            test, cluster = table.where(table.test), table.cluster[table.test]
            wanted = {key: value for key, value in estimators(test).items() if key in FIGURES}
            leaves = bootstrap(wanted, cluster)
            found[name] = {"image_size": size_of(name), **{key: dict(leaf) for key, leaf in leaves.items()}}
    content = {
        "command": "python benchmarks/systems_fold.py",
        "protocol": f"BUSI, fold {FOLD} of busi-grouped-5fold, {SIZE} px, {EPOCHS} epochs, seed {SEED}, "
        "no pretrained weights, epoch chosen on validation",
        "interval": "95 % percentile bootstrap of duplicate groups",
        "machine": "2-core x86-64 CPU, no accelerator",
        "systems": found,
        "missing": [name for name in sorted(models.names(), key=cost) if name not in found],
    }
    write_text(OUT.with_suffix(".json"), json.dumps(content, indent=2) + "\n")


def main() -> None:
    """Train what is missing, cheapest first, as long as there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/fold1"))
    parser.add_argument("--systems", nargs="*", default=None)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    for name in sorted(arguments.systems or models.names(), key=cost):
        if (OUT / f"{name}.parquet").is_file():
            continue
        if time.monotonic() > end:
            break
        started = time.monotonic()
        try:
            train_one(name, arguments.runs / name, arguments.threads)
            print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        except UsageError as error:  # another process has it
            print(f"{name}: {error}", flush=True)
        except (SenoscopeError, RuntimeError, ValueError) as error:
            print(f"{name}: failed: {error}", flush=True)
    report()


if __name__ == "__main__":
    main()

"""ImageMaskNet and ImageMaskNet2, tested with and without the mask; writes docs/results/imagemasknet.json.

    python benchmarks/imagemasknet.py --runs runs/imagemasknet [--epochs N] [--image-size N]

Fold 1 of the frozen BUSI split is held out, which the published scripts do not do. Each network is trained once and
tested twice on the same images: as published, with the lesion's true mask given (stamped), and as in use, with the
image alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from senoscope._files import write_text
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.metrics import estimators
from senoscope.evaluation.runs import predict_run
from senoscope.training.build import recipe_for
from senoscope.training.loop import train
from senoscope.training.recipe import hold_out, read_recipe, write_recipe

OUT = Path(__file__).resolve().parents[1] / "docs/results/imagemasknet.json"
FIGURES = (
    "accuracy",
    "auc_benign_malignant",
    *(f"sensitivity_{c}" for c in ("normal", "benign", "malignant")),
)


def figures(run: Path) -> dict[str, Any]:
    """The run's test figures, each with its interval."""
    table = read_table(predict_run(run, masks=False, progress=False))
    test, cluster = table.where(table.test), table.cluster[table.test]
    wanted = {key: value for key, value in estimators(test).items() if key in FIGURES}
    return {key: dict(leaf) for key, leaf in bootstrap(wanted, cluster).items()} | {
        "stamps": list(table.stamps)
    }


def with_mask(run: Path) -> Path:
    """A copy of a run that is told to hand over the mask at test time."""
    copy = run.with_name(f"{run.name}-mask-given")
    shutil.copytree(
        run, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("state.safetensors", "*.parquet")
    )
    recipe = read_recipe(run / "recipe.yaml")
    write_recipe(recipe.model_copy(update={"mask_given": True}), copy / "recipe.yaml")
    return copy


def main() -> None:
    """Train what is missing, then test both ways."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/imagemasknet"))
    parser.add_argument("--epochs", type=int, help="fewer epochs than the papers' 10 and 50")
    parser.add_argument("--image-size", type=int, help="smaller images than the papers' 256")
    parser.add_argument("--systems", nargs="*", default=["imagemasknet", "imagemasknet2"])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    found: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8"))["systems"] if OUT.is_file() else {}
    for name in arguments.systems:
        changes = {"epochs": arguments.epochs} if arguments.epochs else {}
        recipe = hold_out(
            recipe_for(
                name,
                ["busi"],
                image_size=arguments.image_size,
                threads=arguments.threads,
                keep="last",
                **changes,
            ),
            1,
        )
        run = arguments.runs / name
        if not (run / "weights.safetensors").is_file():
            train(recipe, run, resume=(run / "recipe.yaml").is_file(), progress=False)
        recipe = read_recipe(run / "recipe.yaml")
        found[name] = {
            "epochs": recipe.epochs,
            "image_size": recipe.preprocess.size,
            "image_only": figures(run),
            "mask_given": figures(with_mask(run)),
        }
        content = {
            "command": "python benchmarks/imagemasknet.py",
            "protocol": "BUSI, fold 1 of busi-grouped-5fold held out, seed 0; one training, two tests",
            "interval": "95 % percentile bootstrap of duplicate groups",
            "machine": "2-core x86-64 CPU, no accelerator",
            "systems": found,
        }
        write_text(OUT, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

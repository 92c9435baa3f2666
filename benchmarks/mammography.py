"""EfficientNet-B0 on mini-MIAS: as it failed, then repair by repair; writes docs/results/mammography.json.

    python benchmarks/mammography.py --runs runs/mammography --encoder-weights mobilenetv2_100.safetensors

Every arm is five trainings, one per fold, and its figures are out-of-fold: each film or crop is judged by the network
that has not seen its woman (but for the arm that shows what a careless split does). An arm changes one thing against
the one before it. Lengths are fixed and the last epoch is judged, so nothing is chosen on test folds. Small images and
few epochs keep one pass below half an hour of one core. Finished runs are not trained again;
``--women 24 --epochs 1 --out FILE`` tries it out.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from senoscope import data as datasets
from senoscope._files import write_text
from senoscope.data._layout import image_size
from senoscope.data._windows import ellipse
from senoscope.data.regions import Rules, crop_dataset
from senoscope.data.splits import Split, load_split, make_split, save_split
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.estimator import mean
from senoscope.evaluation.metrics import estimators
from senoscope.evaluation.runs import pool, predict_run
from senoscope.evaluation.table import PredictionTable
from senoscope.imaging.masks import contour_area
from senoscope.imaging.preprocess import Preprocess
from senoscope.imaging.read import read_sample
from senoscope.schema import CLASSES, Record

OUT = Path(__file__).resolve().parents[1] / "docs/results/mammography.json"
FOLDS = (1, 2, 3, 4, 5)
FILMS, PAIRED = "mini-mias", "mini-mias-paired-5fold"
LIGHT = {"encoder": "mobilenetv2_100"}
NARROW = {"widths": [96, 64, 48, 32, 16]}  # of the decoder: 111 films do not fill a wide one
COMMON: dict[str, Any] = {
    "preprocess": {"size": 128},
    "train_size": 128,
    "batch": 16,
    "lr": 1e-3,
    "encoder_lr_factor": 1.0,
    "warmup_epochs": 1,
    "ema": 0.97,  # a training is some hundred steps long
    "keep": "last",
    "balance": 0.0,
    "precision": "32-true",  # timm's strided convolutions are slow in 16 bits on a CPU
    "threads": 1,
    "augment": {  # a film has no speckle, no gain over depth and no calipers
        "rotate_degrees": 15, "zoom": [0.85, 1.2], "aspect": 0.1, "gamma": 0.15, "contrast": 0.15,
        "gain": 0.0, "speckle": 0.0, "blur": 0.1, "overlay": 0.0,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """One setting. ``data`` is films, whole (films with masks) or crops; ``changes`` are recipe keys."""

    what: str
    data: str
    epochs: int
    normals: bool = True
    paired: bool = True
    pretrained: bool = False
    outline: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


_LIGHT = {"options": LIGHT, "encoder_lr_factor": 0.4}
_BALANCED = _LIGHT | {"sampling": "over"}
_LIGHT_UNET = _LIGHT | {"options": LIGHT | NARROW, "precision": "bf16-mixed"}
ARMS: dict[str, Arm] = {
    "films-random": Arm("3 classes: whole films, untrained EfficientNet-B0, films divided at random", "films", 6,
                        paired=False),
    "films": Arm("… both films of a woman in one fold", "films", 6),
    "films-light": Arm("… lighter encoder, pretrained", "films", 6, pretrained=True, changes=_LIGHT),
    # Drawing rare classes more often doubles an epoch, so three of them are as many steps as six before.
    "films-balanced": Arm("… rare classes drawn more often", "films", 3, pretrained=True, changes=_BALANCED),
    "crops": Arm("… crops around findings and of normal tissue", "crops", 3, pretrained=True, changes=_BALANCED),
    "two-films": Arm("2 classes: whole films, untrained EfficientNet-B0", "films", 8, normals=False),
    "two-crops": Arm("… crops, lighter encoder, pretrained, balanced", "crops", 8, normals=False, pretrained=True,
                     changes=_BALANCED),
    "outline-films": Arm("Outline: whole films, untrained EfficientNet-B0 U-Net", "whole", 8, normals=False,
                         outline=True, changes={"options": NARROW}),
    "outline-films-light": Arm("… lighter encoder, pretrained", "whole", 8, normals=False, outline=True,
                               pretrained=True, changes=_LIGHT_UNET),
    "outline-crops": Arm("… crops around findings", "crops", 8, normals=False, outline=True, pretrained=True,
                         changes=_LIGHT_UNET),
}  # fmt: skip
"""The settings, in the order of the table; … means as the one before, but for what follows."""

FIGURES = {
    "3": ("accuracy", "balanced_accuracy", "auc_normal_rest", "auc_malignant_rest", "auc_benign_malignant"),
    "2": ("accuracy_benign_malignant", "auc_benign_malignant"),
    "outline": ("dice", "dice_pooled", "missed"),
}


def prepare(runs: Path, women: int) -> dict[str, dict[str, str]]:
    """The recipe's data source of every kind of arm, written once: films with masks, crops, and splits.

    With ``women`` above 0 only the first so many take part.
    """
    for kind, rules in (("whole", Rules(whole=True)), ("crops", Rules())):
        if not (runs / kind / "manifest.csv").is_file():
            crop_dataset(FILMS, None, runs / kind, rules, progress=True)
    splits = {
        "films": load_split(PAIRED),
        "films-random": make_split(datasets.load(FILMS), len(FOLDS), seed=0, by=()),
        "whole": load_split(runs / "whole/split.csv"),
        "crops": load_split(runs / "crops/split.csv"),
    }
    sources = {}
    for kind, split in splits.items():
        place = {"name": FILMS} if kind.startswith("films") else {"name": "table", "root": str(runs / kind)}
        for normals in (True, False):
            name = kind if normals else f"{kind}-findings"
            path = runs / "splits" / f"{name}.csv"
            save_split(_kept(split, normals, women), path)
            sources[name] = place | {"split": str(path)}
    return sources


def _kept(split: Split, normals: bool, women: int) -> Split:
    """The split without normal images, or with the first women only: the others are dropped."""
    rows = []
    for row in split.rows:
        number = int(str(row.patient).rpartition(":")[2])
        out = (row.label == "normal" and not normals) or (0 < women < number)
        rows.append(replace(row, fold=None, decision="drop", note="not in this arm") if out else row)
    return Split(split.name, tuple(rows))


def train_arm(
    name: str, arm: Arm, source: dict[str, str], runs: Path, encoder: Path | None, epochs: int
) -> list[Path]:
    """Train and predict an arm's folds that are not finished; the prediction tables."""
    from senoscope.training.loop import train
    from senoscope.training.recipe import make_recipe, merged

    start: dict[str, Any] = {}
    if arm.pretrained:
        start = {"encoder_weights": str(encoder)} if encoder else {"pretrained": True}
    tables = []
    for fold in FOLDS:
        out = runs / f"{name}-fold{fold}"
        content = COMMON | start | {
            "name": out.name,
            "system": "efficientnet-b0-unet" if arm.outline else "efficientnet-b0",
            "data": [source | {"fold": fold}],
            "epochs": epochs,
        }  # fmt: skip
        if not (out / "weights.safetensors").is_file():
            recipe = make_recipe(merged(content, arm.changes))
            train(recipe, out, resume=(out / "recipe.yaml").is_file(), allow_leaks=not arm.paired)
        table = out / "predictions.parquet"
        tables.append(table if table.is_file() else predict_run(out, masks=False))
    return tables


def measure(arm: Arm, table: PredictionTable) -> dict[str, Any]:
    """An arm's out-of-fold figures with intervals that resample women."""
    test, cluster = table.where(table.test), table.cluster[table.test]
    wanted = FIGURES["outline" if arm.outline else "3" if arm.normals else "2"]
    found = bootstrap({k: v for k, v in estimators(test).items() if k in wanted}, cluster)
    counts = Counter(CLASSES[label] for label in test.label)
    most = max(counts, key=lambda label: counts[label])
    return {
        "what": arm.what,
        "counts": dict(counts),
        **({} if arm.outline else {"always": most, "always_right": counts[most] / len(test)}),
        **found,
        "stamps": list(table.stamps),
    }


def prior(records: Sequence[Record], split: Split) -> dict[str, Any]:
    """Dice of one outline for all: where most findings of the training folds lie, no pixel looked at.

    Crops are cut around findings, so a network could score by their place alone; it has to do better than this.
    """
    spec = Preprocess(size=64)
    kept = [(r, fold) for r in records if (fold := split.fold_of(r.id)) is not None]
    masks = np.stack([spec.apply_mask(m) for r, _ in kept if (m := read_sample(r).mask) is not None])
    folds = np.array([fold for _, fold in kept])
    dice = np.zeros(len(kept))
    for fold in np.unique(folds):
        seen, tested = masks[folds != fold], masks[folds == fold]
        share = seen.mean(0)
        guesses = [share >= level for level in np.linspace(0.05, 0.95, 19) * share.max()]
        guess = max(guesses, key=lambda g: float(_dice(seen, g).mean()))
        dice[folds == fold] = _dice(tested, guess)
    women = np.unique([str(r.patient) for r, _ in kept], return_inverse=True)[1]
    return dict(bootstrap({"dice": mean(dice, np.ones(len(dice), np.bool_))}, women.astype(np.int64))["dice"])


def _dice(masks: Any, guess: Any) -> Any:
    return 2 * (masks & guess).sum((1, 2)) / np.maximum(1, masks.sum((1, 2)) + guess.sum())


def sizes(records: Sequence[Record]) -> dict[str, Any]:
    """How large the circles are: on the film, and on a film shrunk to 224 pixels."""
    sides = [(box, image_size(record.image)[0]) for record in records for box in record.boxes or ()]
    diameters = np.array([224 * box.width / side for box, side in sides])
    shares = np.array([contour_area(ellipse(box)) / side**2 for box, side in sides])
    low, middle, high = np.quantile(diameters, (0.25, 0.5, 0.75))
    return {
        "findings": len(sides),
        "diameter_at_224_px": {
            "median": middle,
            "quarter": low,
            "three_quarters": high,
            "least": diameters.min(),
        },
        "share_of_film": {"median": float(np.median(shares)), "least": float(shares.min())},
        "films": len(records),
        "counts": dict(Counter(str(r.label) for r in records)),
        "women": len({r.patient for r in records}),
        "unmarked": sum(r.boxes is None for r in records),
    }


def main() -> None:
    """Run the arms that are not finished, then measure them all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/mammography"))
    parser.add_argument("--encoder-weights", type=Path)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--women", type=int, default=0, help="only the first so many, to try it out")
    parser.add_argument("--epochs", type=int, default=0, help="the same length for every arm, to try it out")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    runs = arguments.runs
    sources = prepare(runs, arguments.women)
    records = datasets.load(FILMS)
    results: dict[str, Any] = {"arms": {}, "sizes": sizes(records)}
    for kind in ("whole", "crops"):
        split = load_split(sources[f"{kind}-findings"]["split"])
        results[f"prior_{kind}"] = prior(datasets.load("table", runs / kind), split)
    for name in arguments.arms:
        arm = ARMS[name]
        kind = "films-random" if not arm.paired else arm.data
        source = sources[kind if arm.normals else f"{kind}-findings"]
        epochs = arguments.epochs or arm.epochs
        tables = train_arm(name, arm, source, runs, arguments.encoder_weights, epochs)
        split = load_split(source["split"])
        found = measure(arm, pool([read_table(path) for path in tables]))
        results["arms"][name] = found | {"epochs": epochs, "split_hash": split.hash}
        results["about"] = {
            "command": "python benchmarks/mammography.py",
            "interval": "95 % percentile bootstrap of women, 2000 resamples",
            "split": f"{PAIRED}@{load_split(PAIRED).hash}",
            "women": arguments.women or len({r.patient for r in records}),
            "recipe": COMMON,
            "machine": "one core of an x86-64 CPU, no accelerator",
        }
        write_text(arguments.out, json.dumps(results, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()

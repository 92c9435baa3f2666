"""Recipes and ways to use a trained network, judged on validation cases; writes docs/results/inference-variants.json.

    python benchmarks/inference_variants.py --runs runs --families busi-light busi-joint busi busi-light+busi-joint

``--runs`` holds a run ``FAMILY-foldK`` for every family and K = 1-5. A family with + is the mean of several's weights
(a model soup, Wortsman et al. 2022). Every fold's network answers for that fold's own validation cases of BUSI; a case
that several folds hold out counts once, as the first has it. Compared are looks at the image (whole, mirrored, at a
crop around what the first look outlined; the last for class and outline, or, as ``refine`` does, for the outline alone
and only where something was outlined) and thresholds of the outline.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from senoscope import data as datasets
from senoscope._files import write_text
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import Row, case_row, from_rows
from senoscope.evaluation.metrics import estimators
from senoscope.imaging.preprocess import Preprocess
from senoscope.imaging.read import read_sample
from senoscope.imaging.regions import (
    MASK_THRESHOLD,
    MIN_AREA,
    MIN_SHARE,
    find_regions,
    lesion_mask,
    refine,
)
from senoscope.models import create_model
from senoscope.schema import CLASSES, BoolArray, FloatArray, Sample
from senoscope.training.checkpoint import load_weights, read_tensors
from senoscope.training.predict import load_run

OUT = Path(__file__).resolve().parents[1] / "docs/results/inference-variants.json"
FOLDS = range(1, 6)
AROUND, SMALLEST = 2.2, 1 / 3
"""The crop's side: times the outline's longer side, and at least this share of the image's."""
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)
FIGURES = ("accuracy", "auc_benign_malignant", "dice", "false_positive_rate")

Look = tuple[FloatArray, FloatArray]
"""Class logits, and lesion-map logits H×W in the image's frame."""


def outline(logits: FloatArray, threshold: float = MASK_THRESHOLD) -> BoolArray:
    """The lesions in a map of logits, as a run's evaluation finds them."""
    regions = find_regions(_probability(logits), threshold, MIN_AREA, MIN_SHARE)
    return lesion_mask(regions, (logits.shape[0], logits.shape[1]))


@torch.inference_mode()
def look(model: torch.nn.Module, preprocess: Preprocess, gray: FloatArray, *, mirror: bool) -> Look:
    """What the network says of an image, or of its mirror image turned back."""
    image, frame = preprocess.apply(gray)
    image = np.ascontiguousarray(image[:, ::-1]) if mirror else image
    outputs = model(torch.from_numpy(image)[None, None])
    found = outputs.mask_logits[0, 0].numpy()
    found = np.ascontiguousarray(found[:, ::-1]) if mirror else found
    return outputs.class_logits[0].numpy(), frame.to_original(found)


def window(first: FloatArray) -> tuple[slice, slice]:
    """A square around what the first look outlined (or, if nothing, around its peak), inside the image."""
    height, width = first.shape
    inside = outline(first)
    rows, columns = np.nonzero(inside if inside.any() else first >= first.max())
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    side = int(min(max(AROUND * longer, SMALLEST * max(height, width)), max(height, width)))
    top = int(np.clip((rows.min() + rows.max() + 1 - side) / 2, 0, max(0, height - side)))
    left = int(np.clip((columns.min() + columns.max() + 1 - side) / 2, 0, max(0, width - side)))
    return slice(top, top + side), slice(left, left + side)


def answers(model: torch.nn.Module, preprocess: Preprocess, gray: FloatArray) -> dict[str, Look]:
    """The answers of one, two and four looks: means of logits; beside the crop the whole image's map stays."""
    whole, mirrored = (look(model, preprocess, gray, mirror=mirror) for mirror in (False, True))
    part = window(whole[1])
    crop = np.ascontiguousarray(gray[part])
    near, near_mirrored = (look(model, preprocess, crop, mirror=mirror) for mirror in (False, True))

    def both(far: Look, close: Look) -> Look:
        mean = far[1].copy()
        mean[part] = (mean[part] + close[1]) / 2
        return (far[0] + close[0]) / 2, mean

    def mean(one: Look, other: Look) -> Look:
        return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2

    twice = mean(whole, mirrored)
    first = _probability(twice[1])
    found = find_regions(first, MASK_THRESHOLD, MIN_AREA, MIN_SHARE)

    def closer(part: FloatArray) -> FloatArray:
        looks = (look(model, preprocess, part, mirror=mirror) for mirror in (False, True))
        return _probability(mean(*looks)[1])

    refined = np.clip(refine(first, found, gray, closer), 1e-6, 1 - 1e-6)
    return {
        "whole": whole,
        "whole, mirrored": twice,
        "whole, crop": both(whole, near),
        "whole, crop, both mirrored": both(twice, mean(near, near_mirrored)),
        "whole, mirrored, outline refined": (twice[0], np.log(refined / (1 - refined))),
    }


def _probability(logits: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-logits))


def samples(run: Path) -> Iterator[Sample]:
    """A run's validation cases from BUSI."""
    with (run / "cases.csv").open(encoding="utf-8", newline="") as stream:
        sides = {row["id"]: row["side"] for row in csv.DictReader(stream)}
    yield from (read_sample(r) for r in datasets.load("busi") if sides.get(r.id) == "valid")


def network(runs: Path, family: str, fold: int) -> torch.nn.Module:
    """A family's network of a fold, or the mean of several families' weights."""
    states = [
        read_tensors(runs / f"{part}-fold{fold}" / "weights.safetensors")[0] for part in family.split("+")
    ]
    state = {
        k: sum(s[k] for s in states) / len(states) if v.is_floating_point() else v
        for k, v in states[0].items()
    }
    model = create_model("senoscope-us").eval()
    load_weights(model, state, runs)
    return model


def main() -> None:
    """Judge every network with every way of looking."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--families", nargs="+", default=["busi"])
    arguments = parser.parse_args()
    runs, families = arguments.runs, arguments.families
    rows: dict[tuple[str, str, float], list[Row]] = {}
    seen: set[str] = set()
    for fold in FOLDS:
        first = runs / f"{families[0]}-fold{fold}"
        preprocess = load_run(first)[0].preprocess
        cases = [sample for sample in samples(first) if sample.record.id not in seen]
        seen |= {sample.record.id for sample in cases}
        for family in families:
            model = network(runs, family, fold)
            for sample in cases:
                for way, (logits, lesions) in answers(model, preprocess, sample.image).items():
                    for threshold in THRESHOLDS:
                        mask = outline(lesions, threshold)
                        row = case_row(sample.record, sample.mask, mask, logits, CLASSES)
                        rows.setdefault((family, way, threshold), []).append(row)
    results: list[dict[str, Any]] = []
    for (family, way, threshold), found in rows.items():
        table = from_rows(found)
        wanted = {name: figure for name, figure in estimators(table).items() if name in FIGURES}
        leaves = {name: dict(leaf) for name, leaf in bootstrap(wanted, table.cluster).items()}
        results.append({"family": family, "looks": way, "threshold": threshold, **leaves})
    write_text(OUT, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

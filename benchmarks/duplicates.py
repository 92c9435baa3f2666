"""How much of BUSI stands in it twice, what that is worth to a classifier, and how well the finder finds.

    python benchmarks/duplicates.py --out docs/results/duplicates-busi.json

Needs BUSI and BUS-BRA (SENOSCOPE_DATA); about six minutes on one core.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from senoscope import __version__, data
from senoscope._files import write_text
from senoscope.data._hashing import shrink, strip_border, thumbnail
from senoscope.data.duplicates import Duplicates, Rules, find_duplicates
from senoscope.data.splits import Split, load_split, make_split
from senoscope.imaging.burnt_in import text_lines
from senoscope.imaging.read import read_image, to_gray
from senoscope.schema import FloatArray, Record

REPLICATES = 2000
HASH_RULE = Rules(hamming=6, correlation=0.9, crops=False)
"""The usual rule of thumb for near-duplicates."""


def main() -> None:
    """Measure and write the results file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results/duplicates-busi.json"))
    out: Path = parser.parse_args().out
    records = [*data.load("busi"), *data.load("bus-bra")]
    grays = [to_gray(read_image(record.image)) for record in track(records, "Reading")]
    small = [shrink(strip_border(gray)) for gray in grays]
    busi = [i for i, record in enumerate(records) if record.dataset == "busi"]
    rules = Rules()
    results = {
        "command": "python benchmarks/duplicates.py",
        "version": __version__,
        "rules": {name: getattr(rules, name) for name in Rules.__dataclass_fields__},
        "simulated_copies": simulated(grays),
        "burnt_in_text": text_counts(records, grays),
        "one_nearest_neighbour": nearest_neighbour([records[i] for i in busi], [small[i] for i in busi]),
    }
    hash_only = find_duplicates([small[i] for i in busi], HASH_RULE)
    results["busi_hash_rule_6_bits_0.9"] = described(hash_only, [records[i] for i in busi])
    results |= measured(find_duplicates(small, rules, progress=True), records)
    write_text(out, json.dumps(results, indent=2) + "\n")
    print(f"written: {out}")


def measured(found: Duplicates, records: Sequence[Record]) -> dict[str, Any]:
    """One joint search, told apart into within BUSI, within BUS-BRA and across."""
    parts: dict[str, list[Any]] = {"busi": [], "bus-bra": [], "across": []}
    for pair in found.pairs:
        first, second = records[pair.first].dataset, records[pair.second].dataset
        parts[first if first == second else "across"].append(pair)
    results: dict[str, Any] = {"across_datasets": {"pairs": len(parts["across"])}}
    for name, frozen in (("busi", "busi-grouped-5fold"), ("bus-bra", "bus-bra-official")):
        own = [i for i, record in enumerate(records) if record.dataset == name]
        split = load_split(frozen)
        duplicates = Duplicates(tuple(parts[name]), found.count)
        group = {row.id: row.group for row in split.rows}
        ids = [record.id for record in records]
        apart = [
            [ids[pair.first], ids[pair.second]]
            for pair in parts[name]
            if group[ids[pair.first]] is None or group[ids[pair.first]] != group[ids[pair.second]]
        ]
        sizes = Counter(row.group for row in split.rows if row.group)
        results[name.replace("-", "_")] = described(duplicates, records, len(own)) | {
            "frozen_split": frozen,
            "split_hash": split.hash,
            "frozen_groups": len(sizes),
            "frozen_images_in_groups": sum(sizes.values()),
            "frozen_group_sizes": dict(sorted(Counter(sizes.values()).items())),
            "dropped": sum(row.decision == "drop" for row in split.rows),
            "found_but_not_grouped": apart,
        }
    return results


def described(found: Duplicates, records: Sequence[Record], n: int | None = None) -> dict[str, Any]:
    """Counts of one search."""
    groups = found.groups
    mixed = [group for group in groups if len({records[i].label for i in group}) > 1]
    crossing = [pair for pair in found.pairs if _patients_differ(records[pair.first], records[pair.second])]
    return {
        "n": n or len(records),
        "pairs": len(found.pairs),
        "pairs_by_transform": dict(Counter(pair.transform for pair in found.pairs)),
        "groups": len(groups),
        "images_in_groups": sum(map(len, groups)),
        "group_sizes": dict(sorted(Counter(map(len, groups)).items())),
        "groups_with_conflicting_labels": [[records[i].id for i in group] for group in mixed],
        "pairs_across_patients": [
            [records[pair.first].id, records[pair.second].id, pair.correlation] for pair in crossing
        ],
    }


def _patients_differ(one: Record, two: Record) -> bool:
    return one.patient is not None and two.patient is not None and one.patient != two.patient


def text_counts(records: Sequence[Record], grays: Sequence[FloatArray]) -> dict[str, Any]:
    """Images with at least one line of burnt-in text."""
    marked = [bool(text_lines(gray)) for gray in track(grays, "Looking for text")]
    return {
        name: {
            "images_with_text": sum(
                m for m, record in zip(marked, records, strict=True) if record.dataset == name
            ),
            "n": sum(record.dataset == name for record in records),
        }
        for name in ("busi", "bus-bra")
    }


def nearest_neighbour(records: Sequence[Record], small: Sequence[FloatArray]) -> dict[str, Any]:
    """Accuracy of the label of the nearest 64×64 thumbnail in the training folds, random against grouped folds."""
    grouped = load_split("busi-grouped-5fold")
    kept = [i for i, record in enumerate(records) if grouped.fold_of(record.id) is not None]
    own = [records[i] for i in kept]
    likeness = np.stack([thumbnail(small[i]) for i in kept])
    likeness = likeness @ likeness.T
    random = [make_split(own, 5, seed, by=(), name="random") for seed in range(5)]
    right_random = np.mean([_right(own, split, likeness) for split in random], axis=0)
    right_grouped = _right(own, grouped, likeness)
    clusters = [record.group or record.id for record in own]
    twins = np.mean([_twin_in_training(own, split) for split in random])
    return {
        "n": len(own),
        "split_hash": grouped.hash,
        "random_5_fold_mean_of_5_seeds": _interval(right_random, clusters),
        "grouped_5_fold": _interval(right_grouped, clusters),
        "difference": _interval(right_random - right_grouped, clusters),
        "random_test_images_with_a_twin_in_training": round(float(twins), 4),
        "interval": f"95 %, percentile bootstrap of {REPLICATES} clustered by duplicate group",
    }


def _right(records: Sequence[Record], split: Split, likeness: FloatArray) -> FloatArray:
    folds = np.array([split.fold_of(record.id) for record in records])
    labels = np.array([record.label for record in records])
    reachable = np.where(folds[:, None] != folds[None, :], likeness, -np.inf)
    return (labels[reachable.argmax(axis=1)] == labels).astype(np.float32)


def _twin_in_training(records: Sequence[Record], split: Split) -> float:
    folds: dict[str, set[int | None]] = {}
    for record in records:
        if record.group:
            folds.setdefault(record.group, set()).add(split.fold_of(record.id))
    return float(np.mean([record.group is not None and len(folds[record.group]) > 1 for record in records]))


def _interval(values: FloatArray, clusters: Sequence[str]) -> dict[str, float | int]:
    names, index = np.unique(clusters, return_inverse=True)
    sums, sizes = np.bincount(index, values), np.bincount(index)
    drawn = np.random.default_rng(0).integers(len(names), size=(REPLICATES, len(names)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    value = float(values.mean())
    return {
        "value": round(value, 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "n": len(values),
    }


def simulated(grays: Sequence[FloatArray], count: int = 96) -> dict[str, Any]:
    """Share of copies found after cropping (each side kept to at least a share), resizing, JPEG 60, mirroring."""
    rng = np.random.default_rng(3)
    chosen = [grays[i] for i in rng.choice(len(grays), count, replace=False)]
    results: dict[str, Any] = {"n": count}
    for name, least, mirrored in (
        ("resized_and_recompressed", 1.0, False),
        ("mirrored_resized_and_recompressed", 1.0, True),
        ("cropped_to_0.7", 0.7, False),
        ("mirrored_and_cropped_to_0.7", 0.7, True),
        ("cropped_to_0.5", 0.5, False),
    ):
        copies = [_copy(gray, least, mirrored, rng) for gray in track(chosen, name)]
        pairs = find_duplicates([*chosen, *copies]).pairs
        results[name] = round(sum(pair.second == pair.first + count for pair in pairs) / count, 4)
    return results


def _copy(gray: FloatArray, least: float, mirrored: bool, rng: np.random.Generator) -> FloatArray:
    image = Image.fromarray((gray * 255).astype(np.uint8))
    share = rng.uniform(least, 1, 2)
    left, top = rng.uniform(0, 1 - share) * image.size
    width, height = share * image.size
    scale = rng.uniform(0.5, 1.2)
    size = (max(16, int(width * scale)), max(16, int(height * scale)))
    image = image.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    pixels = np.asarray(Image.open(stream), dtype=np.float32) / 255
    return pixels[:, ::-1].copy() if mirrored else pixels


if __name__ == "__main__":
    main()

"""Seconds from 1,000 prediction tables to the leaderboard's page on one core, to docs/results/leaderboard-speed.json.

    python benchmarks/leaderboard_speed.py [--tables 1000] [--keep FOLDER]

The tables are made up: the cases, groups and hashes are those of the frozen splits, the predictions are noise around
the truth. They fill protocol after protocol, system after system, fold after fold, as a real benchmark does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from senoscope import data, models
from senoscope._files import write_text
from senoscope.benchmark.jobs import Job
from senoscope.benchmark.leaderboard import make_entries, read_results
from senoscope.benchmark.page import write_page
from senoscope.benchmark.results import MANIFEST, path_of
from senoscope.data.splits import Split, load_split
from senoscope.evaluation.columns import Columns
from senoscope.evaluation.tablefiles import write_parquet
from senoscope.schema import CLASSES

OUT = Path(__file__).resolve().parents[1] / "docs/results/leaderboard-speed.json"
PARTS = (
    ("quick", "busi", "grouped-5fold"),
    ("quick", "busi", "leaky-random-split"),
    ("quick", "busi", "leave-one-dataset-out"),
    ("quick", "bus-bra", "official"),
    ("full", "busi", "grouped-5fold"),
)


def jobs() -> Iterator[Job]:
    """Jobs as plans hold them, without end of seeds."""
    for seed in itertools.count():
        for track, dataset, protocol in PARTS:
            split = load_split(data.info(dataset).text("split"))
            folds = split.folds if protocol in ("grouped-5fold", "official") else (1,)
            seeds = (0, 1, 2) if track == "full" and seed == 0 else (seed,)
            for system in models.names():
                for fold in folds:
                    for number in seeds:
                        yield Job(track, dataset, protocol, system, fold, number)


def table(job: Job, split: Split, skill: float) -> tuple[Columns, dict[str, Any]]:
    """The columns of one made-up result and its metadata; ``skill`` is 0 for noise, 3 for hardly an error."""
    facts = models.info(job.system).facts
    rng = np.random.default_rng([job.fold, job.seed, len(job.system), int(10 * skill)])
    kept = [row for row in split.rows if row.fold is not None]
    test = [row for row in kept if row.fold == job.fold]
    valid = [row for row in kept if row.fold != job.fold][: len(test) // 2]
    rows = [*((row, "test") for row in test), *((row, "valid") for row in valid)]
    labels = np.array([CLASSES.index(row.label or "benign") for row, _ in rows])
    columns: Columns = {
        "id": [row.id for row, _ in rows],
        "dataset": [row.dataset for row, _ in rows],
        "patient": [row.patient for row, _ in rows],
        "group": [row.group for row, _ in rows],
        "label": [row.label for row, _ in rows],
        "fold": [job.fold] * len(rows),
        "split": [side for _, side in rows],
        "device": [("A", "B")[n % 2] for n in range(len(rows))],
        "width": [500] * len(rows),
        "height": [400] * len(rows),
    }
    logits = rng.normal(size=(len(rows), 3)) + skill * np.eye(3)[labels]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classifies = "class_logits" in facts["gives"]
    for code, name in enumerate(CLASSES):
        columns[f"p_{name}"] = shares[:, code].tolist() if classifies else [None] * len(rows)
        columns[f"logit_{name}"] = logits[:, code].tolist() if classifies else [None] * len(rows)
    columns |= _outlines(labels, rng, skill, outlines="mask_logits" in facts["gives"])
    note = {
        "system": job.system,
        "split": split.name,
        "split_hash": split.hash,
        "stamps": [],
        MANIFEST: {
            "job": job.__dict__,
            "epochs": 15,
            "images_per_second": 60.0,
            "machine": {"processor": "x86_64", "cores": 2},
        },
    }
    return columns, note


def _outlines(labels: np.ndarray, rng: np.random.Generator, skill: float, *, outlines: bool) -> Columns:
    count = len(labels)
    true = np.where(labels == 0, 0, rng.integers(500, 40_000, count))
    columns: Columns = {"has_mask": [True] * count, "area_true": true.tolist()}
    if not outlines:
        return columns
    common = (true * rng.beta(2 + 2 * skill, 2, count)).astype(int)
    found = common + rng.integers(0, 4000, count) * (rng.random(count) < 0.8)
    union = true + found - common
    dice = np.where(true > 0, 2 * common / np.maximum(true + found, 1), np.nan)
    iou = np.where(true > 0, common / np.maximum(union, 1), np.nan)
    columns |= {"area_pred": found.tolist(), "intersection": common.tolist()}
    return columns | {
        "dice": [None if np.isnan(v) else v for v in dice.tolist()],
        "iou": [None if np.isnan(v) else v for v in iou.tolist()],
    }


def generate(results: Path, count: int) -> None:
    """Write ``count`` results."""
    splits = {name: load_split(data.info(name).text("split")) for name in ("busi", "bus-bra")}
    skill = {name: 0.5 + 1.5 * number / len(models.names()) for number, name in enumerate(models.names())}
    for job in itertools.islice(jobs(), count):
        split = splits[job.dataset]
        columns, note = table(job, split, skill[job.system])
        if job.protocol == "leave-one-dataset-out":
            note["split_hash"] = splits["bus-bra"].hash
        write_parquet(columns, path_of(results, job), note)


def main() -> None:
    """Generate, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--keep", type=Path, default=None, help="generate there and keep it")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core, whatever libraries wish
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        results = arguments.keep or Path(folder) / "results"
        if not results.is_dir():
            generate(results, arguments.tables)
        load = os.getloadavg()[0]  # of other work on the machine: with any, the CPU's seconds are what counts
        times: dict[str, float] = {}
        clocks = time.perf_counter(), time.process_time()
        found = read_results(results)
        times["read"] = time.perf_counter() - clocks[0]
        entries = make_entries(found.values())
        times["figures"] = time.perf_counter() - clocks[0] - times["read"]
        write_page(Path(folder) / "leaderboard.html", entries, [])
        times["seconds"] = time.perf_counter() - clocks[0]
        times["cpu_seconds"] = time.process_time() - clocks[1]
        times["page"] = times["seconds"] - times["read"] - times["figures"]
        size = (Path(folder) / "leaderboard.html").stat().st_size
    content = {
        "command": "python benchmarks/leaderboard_speed.py",
        "machine": f"one core of a {os.cpu_count()}-core {platform.machine().replace('_', '-')} CPU",
        "load": round(load, 1),
        "tables": len(found),
        "entries": len(entries),
        "page_bytes": size,
        **{name: round(value, 2) for name, value in times.items()},
    }
    print(json.dumps(content, indent=2))
    if arguments.tables >= 1000:
        write_text(OUT, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Made-up results in a benchmark's folder: cases of the frozen split, predictions as the test wants them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from senoscope import models
from senoscope.benchmark.jobs import Job
from senoscope.benchmark.results import MANIFEST, path_of
from senoscope.data.splits import load_split
from senoscope.evaluation.columns import Value
from senoscope.schema import CLASSES

MADE = {"leaky-random-split": "f" * 64, "as-published": "e" * 64}
"""Hashes of divisions that no split file holds."""


def make_rows(job: Job, skill: float, *, seed: int | None = None, every: int = 6) -> list[dict[str, Value]]:
    """Rows of one result: each ``every``-th test case of the fold in BUSI's frozen split, and validation cases."""
    gives = models.info(job.system).facts["gives"]
    rng = np.random.default_rng([job.fold, job.seed if seed is None else seed])
    split = load_split("busi-grouped-5fold")
    fold = job.fold if job.protocol != "leave-one-dataset-out" else None
    kept = [row for row in split.rows if row.fold is not None]
    test = [row for row in kept if fold in (None, row.fold)][::every]
    valid = [row for row in kept if row.fold != job.fold][:: 4 * every]
    valid = [] if fold is None else valid
    rows = []
    for side, members in (("test", test), ("valid", valid)):
        for case in members:
            label = CLASSES.index(case.label or "")
            row: dict[str, Value] = {
                "id": case.id, "dataset": "busi", "patient": None, "group": case.group, "label": case.label,
                "fold": job.fold, "split": side, "device": ("A", "B")[len(case.id) % 2], "width": 100, "height": 100,
            }  # fmt: skip
            logits = rng.normal(size=3) + skill * np.eye(3)[label]
            true = 0 if label == 0 else int(rng.integers(50, 4000))
            common = int(true * rng.beta(1 + 4 * skill, 2))
            found = common + int(rng.integers(1, 200)) * int(rng.random() < 0.7)
            row |= {"has_mask": True, "area_true": true}
            shares = np.exp(logits) / np.exp(logits).sum()
            classifies = "class_logits" in gives
            for code, name in enumerate(CLASSES):
                row[f"p_{name}"] = float(shares[code]) if classifies else None
                row[f"logit_{name}"] = float(logits[code]) if classifies else None
            if "mask_logits" in gives:
                row |= {"area_pred": found, "intersection": common}
                if true:
                    row |= {"dice": 2 * common / (true + found), "iou": common / (true + found - common)}
            rows.append(row)
    return rows


def write(results: Path, job: Job, rows: list[dict[str, Value]], **metadata: Any) -> Path:
    """Write rows as the job's result and return its path."""
    from senoscope.evaluation.cases import write_table

    split = load_split("busi-grouped-5fold")
    hashes = {**MADE, "leave-one-dataset-out": load_split("bus-bra-official").hash}
    note = {
        "split": split.name,
        "split_hash": hashes.get(job.protocol, split.hash),
        "stamps": [],
        "system": job.system,
    }
    manifest = {"job": job.__dict__, "epochs": 15, "images_per_second": 60.0, "cases": {"train": 500}}
    manifest |= {"machine": {"processor": "x86_64", "cores": 2}}
    path = path_of(results, job)
    write_table(rows, path, {**note, MANIFEST: manifest, **metadata})
    return path


@pytest.fixture(scope="session")
def rows_of() -> Callable[..., list[dict[str, Value]]]:
    """:func:`make_rows`."""
    return make_rows


@pytest.fixture(scope="session")
def write_rows() -> Callable[..., Path]:
    """:func:`write`."""
    pytest.importorskip("pyarrow", reason="needs the [train] extra")
    return write


@pytest.fixture(scope="session")
def fill(write_rows: Callable[..., Path]) -> Callable[..., list[Path]]:
    """Write results of one system by one protocol: ``fill(results, system, skill, folds=…, protocol=…, seed=…)``."""

    def fill(
        results: Path, system: str, skill: float, folds: tuple[int, ...] = (1, 2, 3, 4, 5),
        protocol: str = "grouped-5fold", seed: int = 0, **metadata: Any,
    ) -> list[Path]:  # fmt: skip
        jobs = [Job("quick", "busi", protocol, system, fold, seed) for fold in folds]
        return [write_rows(results, job, make_rows(job, skill), **metadata) for job in jobs]

    return fill

"""Which split and which folds a protocol's results must be of, known without the dataset's images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from senoscope import catalog
from senoscope.benchmark.protocol import load_protocol
from senoscope.benchmark.results import Result
from senoscope.data.splits import Split, load_split
from senoscope.errors import TableError

_DATASETS = "senoscope.data"
_SPLIT_KEYS = {"frozen": "split", "official": "official"}
"""Divisions that go by a split file, and the key of the dataset's row that names it."""


@cache
def expected_split(protocol: str, dataset: str) -> Split | None:
    """The split file that a protocol divides a dataset by; ``None`` if its division is made anew or spans datasets."""
    key = _SPLIT_KEYS.get(load_protocol(protocol).entry.rpartition(":")[2])
    row = catalog.load(_DATASETS).get(dataset)
    name = row.text(key) if key and row else ""
    return load_split(name) if name else None


def all_folds(protocol: str, dataset: str) -> tuple[int, ...]:
    """The folds that a complete result has; protocols without a split file test once, as fold 1."""
    split = expected_split(protocol, dataset)
    return split.folds if split else (1,)


def check_splits(results: Mapping[Path, Result]) -> None:
    """Raise ``TableError``, naming the file, for a result made on another split than today's.

    Results of a division made anew (a random split) are held against each other: those of one dataset, protocol and
    seed must share one.
    """
    made: dict[tuple[str, str, int], dict[str, Path]] = defaultdict(dict)
    for path, result in results.items():
        job, found = result.job, str(result.table.metadata.get("split_hash"))
        split = expected_split(job.protocol, job.dataset)
        if split is not None and found != split.hash:
            raise _other(path, found, f"{split.name}, {split.hash[:12]}")
        if load_protocol(job.protocol).entry.endswith(":other_datasets"):
            _check_sources(path, found)
        elif split is None:
            made[job.dataset, job.protocol, job.seed].setdefault(found, path)
    for (dataset, protocol, seed), paths in made.items():
        if len(paths) > 1:
            files = ", ".join(f"{path} ({found[:12]})" for found, path in paths.items())
            raise TableError(
                f"results of {dataset}, {protocol}, seed {seed} are of {len(paths)} splits: {files}",
                expected="one split for all systems",
                fix="remove the results of the older one, and run again",
            )


def _check_sources(path: Path, found: str) -> None:
    known = {load_split(row.text("split")).hash for row in _with_splits()}
    for part in found.split("+"):
        if part not in known:
            raise _other(path, part, "the frozen splits of the datasets trained on")


@cache
def _with_splits() -> tuple[catalog.Row, ...]:
    return tuple(row for row in catalog.load(_DATASETS).values() if row.text("split"))


def _other(path: Path, found: str, expected: str) -> TableError:
    return TableError(
        f"{path} is a result of the split {found[:12]}",
        expected=f"of {expected}",
        fix="remove this file and run again: senoscope benchmark run",
    )

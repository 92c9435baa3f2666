"""Datasets as Records: ``load("busi")`` reads one, ``names()`` and ``info(name)`` say what is there."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import cast

from senoscope import catalog
from senoscope._files import find_data
from senoscope.errors import DatasetError, UsageError
from senoscope.schema import Record

__all__ = ["find_root", "info", "is_found", "load", "names"]


def names() -> tuple[str, ...]:
    """Names of the datasets that can be read, in the catalog's order."""
    return tuple(catalog.load(__name__))


def info(name: str) -> catalog.Row:
    """One dataset's catalog row. Raises ``UsageError`` with the nearest right name for a wrong one."""
    return catalog.find(__name__, name, "dataset")


def find_root(name: str, root: Path | None = None) -> Path:
    """Where a dataset lies: ``root``, else its folder in the shared data folder.

    Raises ``DatasetError`` that says what to download and where to put it.
    """
    row = info(name)
    if root is not None:
        if root.exists():
            return root
        raise DatasetError(f"there is no {root}", expected=_expected(row), fix="check the path")
    shared = find_data()
    if shared is not None and is_found(name):
        return shared / row.text("folder")
    if not row.text("folder"):
        raise UsageError(f"dataset '{name}' needs a root", expected="the path of your own data")
    get = row.text("get") or f"download it from {row.text('homepage')} and unpack it"
    raise DatasetError(
        f"{name} was not found" + (f" in {shared}" if shared else ""),
        expected=_expected(row),
        fix=f"{get}; then give its path as root, or set SENOSCOPE_DATA to the folder that holds it",
    )


def is_found(name: str) -> bool:
    """Whether the shared data folder holds a copy of this dataset."""
    shared, folder = find_data(), info(name).text("folder")
    return shared is not None and folder != "" and (shared / folder).is_dir()


def load(name: str, root: Path | str | None = None, *, group: bool = True) -> list[Record]:
    """Read a dataset into Records.

    Parameters
    ----------
    name: one of :func:`names`.
    root: the dataset's folder (or the table's file); by default its folder in the shared data folder.
    group: join near-duplicate group ids from the frozen split, where there is one.

    Raises ``UsageError`` for an unknown name, ``DatasetError`` for a folder that is absent, empty or in
    another layout.
    """
    row = info(name)
    place = find_root(name, Path(root) if root is not None else None)
    read = cast("Callable[[Path], list[Record]]", row.resolve())
    records = read(place)
    if not records:
        raise DatasetError(f"{place} holds no image of {name}", expected=_expected(row))
    return _join_groups(records, row.text("split")) if group else records


def _expected(row: catalog.Row) -> str:
    folder = row.text("folder")
    return f"the folder {folder}/ as its owner packs it" if folder else row.title


def _join_groups(records: list[Record], split: str) -> list[Record]:
    """Records with the split's group ids where they have none of their own."""
    source = resources.files(__name__) / "frozen" / f"{split}.csv"
    if not split or not source.is_file():
        return records
    with source.open(encoding="utf-8") as stream:
        lines = (line for line in stream if not line.startswith("#"))
        groups = {line["id"]: line["group"] for line in csv.DictReader(lines) if line.get("group")}
    return [replace(record, group=record.group or groups.get(record.id)) for record in records]

"""Tables that no benchmark run made: other trainings, shown apart from the leaderboard with a note."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from senoscope.benchmark.figures import measure
from senoscope.benchmark.results import EXTERNAL
from senoscope.errors import TableError
from senoscope.evaluation.bootstrap import Interval
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.provenance import stamps


@dataclass(frozen=True)
class External:
    """One training by another protocol; ``note`` says by which."""

    dataset: str
    name: str
    note: str
    stamps: tuple[str, ...]
    split: str
    folds: int
    figures: dict[str, Interval]


def read_external(results: Path) -> list[External]:
    """The tables ``external/<dataset>/<name>.parquet`` below a folder of results.

    Raises ``TableError`` for one whose metadata does not say what it is: ``external: {"name": …, "note": …}``.
    """
    return [_read(path) for path in sorted((results / EXTERNAL).glob("*/*.parquet"))]


def _read(path: Path) -> External:
    table = read_table(path)
    said = table.metadata.get(EXTERNAL)
    if not isinstance(said, dict) or not said.get("name") or not said.get("note"):
        raise TableError(
            f"{path} does not say what it is",
            expected='metadata with external: {"name": …, "note": how it was trained}',
            fix="write it with senoscope.evaluation.cases.write_table",
        )
    return External(
        dataset=path.parent.name,
        name=str(said["name"]),
        note=str(said["note"]),
        stamps=tuple(stamps(table)),
        split=str(table.metadata.get("split") or "unknown"),
        folds=len(set(table.fold[table.test].tolist())),
        figures=measure([table]).figures,
    )

"""Another tool's predictions, read strictly: every problem is found, with its row numbers, before one is reported."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from senoscope.errors import TableError
from senoscope.evaluation.columns import PROBABILITIES
from senoscope.evaluation.tablefiles import read_parquet
from senoscope.schema import Record

_SHOWN = 50  # ids written out behind one problem
_TOLERANCE = 1e-3  # of the probabilities' sum, as in every prediction table

Probabilities = tuple[float, ...]


@dataclass
class Problems:
    """What is wrong, by kind: the rows (the header is row 1) or the ids that it concerns."""

    rows: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def refuse(self, source: str) -> None:
        """Raise :class:`TableError` listing every problem, if there is one."""
        lines = [_in_rows(kind, rows) for kind, rows in self.rows.items()]
        lines += [f"{kind}: {_listed(ids)}" for kind, ids in self.ids.items()]
        if lines:
            raise TableError(
                f"{source} is not scored:\n  - " + "\n  - ".join(lines),
                expected="exactly one row per tested case, with probabilities in 0..1 that sum to 1",
                fix="mend these rows; docs/how-to/score.md says what is asked for",
            )


@dataclass(frozen=True)
class Submission:
    """Probabilities by record id, ``None`` for a tool without classes; and the file's own provenance."""

    probabilities: Mapping[str, Probabilities | None]
    metadata: Mapping[str, Any]


def read_submission(
    path: Path, tested: Sequence[Record], known: Sequence[Record], problems: Problems, *, classes: bool = True
) -> Submission:
    """Read a ``.csv`` or ``.parquet`` of predictions of exactly the ``tested`` cases; ``known`` is the whole dataset.

    Ids may stand with or without the dataset's prefix. ``classes`` false takes a table without probabilities. What is
    wrong with rows and ids is added to ``problems``. Raises :class:`TableError` at once for a file that is no table
    and for missing or doubled columns.
    """
    header, rows, metadata = _read(path)
    scored = _columns(path.name, header, classes)
    wanted = {record.id: record for record in tested}
    names = _names([record.id for record in known], tested[0].dataset)
    found: dict[str, Probabilities | None] = {}
    first: dict[str, int] = {}
    for number, cells in rows:
        if len(cells) != len(header):
            problems.rows[f"{len(header)} cells expected, not another number"].append((number, ""))
            continue
        row = dict(zip(header, cells, strict=True))
        given = row["id"]
        case = names.get(given)
        shown = given[:60]
        if not given:
            problems.rows["empty id"].append((number, ""))
        elif case is None:
            problems.rows["id that the dataset does not have"].append((number, shown))
        elif case in first:
            problems.rows["duplicate id"].append((number, f"{shown}, first in row {first[case]}"))
        elif case not in wanted:
            problems.rows["extra case, which is not tested here"].append((number, shown))
        if case is not None:
            first.setdefault(case, number)
        values = _probabilities(row, number, shown, problems) if scored else None
        if case in wanted:
            _label(row, wanted[case], number, problems)
            found[case] = values
    missing = [case for case in wanted if case not in found]
    if missing:
        problems.ids[f"{len(missing)} of {len(wanted)} tested cases missing"] += missing
    return Submission(found, metadata)


def _columns(source: str, header: Sequence[str], classes: bool) -> bool:
    """Whether the table has probabilities; raises for missing and doubled columns."""
    present = [name for name in PROBABILITIES if name in header]
    scored = classes or bool(present)
    needed = ("id", *PROBABILITIES) if scored else ("id",)
    wrong = [f"no column {name}" for name in needed if name not in header]
    wrong += [f"the column {name} twice" for name in dict.fromkeys(header) if list(header).count(name) > 1]
    if wrong:
        raise TableError(
            f"{source} has {', '.join(wrong)}; its columns are {', '.join(header) or 'none'}",
            expected="the columns id, " + ", ".join(PROBABILITIES),
            fix="for a tool that knows two classes write p_normal = 0 and p_benign = 1 − p_malignant",
        )
    return scored


def _names(ids: Sequence[str], dataset: str) -> dict[str, str]:
    """Record ids by every name that they go by: the id, and the id without ``dataset:``."""
    return {case.removeprefix(f"{dataset}:"): case for case in ids} | {case: case for case in ids}


def _probabilities(
    row: Mapping[str, str], number: int, case: str, problems: Problems
) -> Probabilities | None:
    values: list[float] = []
    for name in PROBABILITIES:
        try:
            values.append(float(row[name]))
        except ValueError:
            problems.rows[f"{name} is empty or not a number"].append((number, row[name][:20]))
            return None
    if any(math.isnan(value) for value in values):
        problems.rows["probability is NaN"].append((number, case))
    elif not all(0 <= value <= 1 for value in values):
        problems.rows["probability outside 0..1"].append((number, case))
    elif abs(sum(values) - 1) > _TOLERANCE:
        problems.rows["probabilities do not sum to 1"].append((number, f"{sum(values):.4g}"))
    else:
        return tuple(values)
    return None


def _label(row: Mapping[str, str], record: Record, number: int, problems: Problems) -> None:
    """The dataset's labels count; a table that says otherwise mixes something up."""
    said = row.get("label", "")
    if said and said != record.label:
        told = f"'{said[:20]}', in the dataset {record.label}"
        problems.rows["label that is not the dataset's"].append((number, told))
    if row.get("split", "") not in ("", "test"):
        problems.rows["not a test row (only tested cases are scored)"].append((number, row["split"][:20]))


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], dict[str, Any]]:
    """Header, (row number, cells) and provenance; cells as text."""
    if not path.is_file():
        raise TableError(f"{path}: no such file", expected="predictions as .csv or .parquet")
    if path.suffix.lower() == ".parquet":
        columns, metadata = read_parquet(path)
        cells = [["" if v is None else str(v) for v in values] for values in columns.values()]
        rows = [list(row) for row in zip(*cells, strict=True)]
        return list(columns), list(enumerate(rows, 2)), metadata
    try:
        text = path.read_text(encoding="utf-8-sig")
        heading = text.partition("\n")[0]
        delimiter = ";" if heading.count(";") > heading.count(",") else ","
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            f"{path.name}: not a readable CSV file ({error})", expected="UTF-8, commas"
        ) from error
    if not table:
        raise TableError(f"{path.name} is empty", expected="a header line and one row per case")
    rows = [[cell.strip() for cell in row] for row in table]
    numbered = [(number, row) for number, row in enumerate(rows[1:], 2) if any(row)]
    return rows[0], numbered, {}


def _in_rows(kind: str, rows: Sequence[tuple[int, str]]) -> str:
    details = [text for _, text in rows if text]
    told = f" ({_listed(details)})" if details else ""
    return f"{kind}: row{'s' if len(rows) > 1 else ''} {_ranges([number for number, _ in rows])}{told}"


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending row numbers in short: 3, 5–9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return "; ".join(words[:_SHOWN]) + more

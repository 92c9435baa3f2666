"""Reading and writing a split's CSV. Tolerates a byte-order mark, CRLF and ``;``; names bad rows by number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from senoscope.errors import TableError
from senoscope.schema import CLASSES

_RISKY = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs cells that begin so
_SHOWN = 10  # problems listed in one message


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRow:
    """One image's place in a split. A dropped row has ``fold=None``."""

    id: str
    dataset: str = ""
    patient: str | None = None
    group: str | None = None
    label: str | None = None
    fold: int | None = None
    decision: str = "keep"
    note: str = ""


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(SplitRow))


def render(rows: Iterable[SplitRow]) -> str:
    """The CSV text of a split."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if cell is None else guarded(str(cell)) for cell in astuple(row)] for row in rows)
    return stream.getvalue()


def parse(path: Path) -> tuple[SplitRow, ...]:
    """The rows of a split's CSV. Raises ``TableError`` listing what is wrong, by row number (the header is row 1)."""
    table = _cells(path)
    header = [cell.strip() for cell in table[0]]
    absent = [name for name in ("id", "fold") if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if absent or twice:
        what = (
            f"lacks the column {', '.join(absent)}" if absent else f"has the column {', '.join(twice)} twice"
        )
        raise TableError(
            f"{path.name} {what}", expected=f"columns id and fold, and of {', '.join(COLUMNS)} what is known"
        )
    rows: list[SplitRow] = []
    problems: list[str] = []
    first_row: dict[str, int] = {}
    for number, cells in enumerate(table[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"row {number} has {len(cells)} cells, not {len(header)}")
            continue
        named = {name: _unguarded(cell.strip()) for name, cell in zip(header, cells, strict=True)}
        wrong = _problems(named, first_row)
        problems += [f"row {number}: {text}" for text in wrong]
        if not wrong:
            first_row[named["id"]] = number
            rows.append(_row(named))
    problems += _label_typos(rows, first_row)
    if not rows and not problems:
        problems.append("there are no rows below the header")
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise TableError(
            f"{path.name}: {'; '.join(problems[:_SHOWN])}{more}",
            expected="one row per image, each id once, fold a whole number or decision drop",
        )
    return tuple(rows)


def _cells(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path.name} is not UTF-8 text: {error.reason}", fix="save it as CSV UTF-8"
        ) from error
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise TableError(f"{path.name} is not a CSV table: {error}", fix="save it as CSV UTF-8") from error
    if not table:
        raise TableError(f"{path.name} is empty", expected=f"a header row with {', '.join(COLUMNS)}")
    return table


def _problems(named: dict[str, str], first_row: dict[str, int]) -> list[str]:
    found = []
    if not named["id"]:
        found.append("no id")
    elif named["id"] in first_row:
        found.append(f"id {named['id']} stands already in row {first_row[named['id']]}")
    decision = named.get("decision") or "keep"
    if decision not in ("keep", "drop"):
        found.append(f"decision '{decision}' is neither keep nor drop")
    elif decision == "drop" and named["fold"]:
        found.append(f"dropped, yet in fold {named['fold']}")
    elif decision == "keep" and not (
        named["fold"].isascii() and named["fold"].isdecimal() and len(named["fold"]) < 6
    ):
        found.append(f"fold '{named['fold']}' is not a whole number")
    return found


def _label_typos(rows: list[SplitRow], numbers: dict[str, int]) -> list[str]:
    """Where some labels are breast classes, any other word is a typo; other datasets name their own classes."""
    labels = {row.label for row in rows if row.label}
    if not labels & set(CLASSES):
        return []
    return [
        f"row {numbers[row.id]}: label '{row.label}' is none of {', '.join(CLASSES)}"
        for row in rows
        if row.label and row.label not in CLASSES
    ]


def _row(named: dict[str, str]) -> SplitRow:
    return SplitRow(
        id=named["id"],
        dataset=named.get("dataset", ""),
        patient=named.get("patient") or None,
        group=named.get("group") or None,
        label=named.get("label") or None,
        fold=int(named["fold"]) if named["fold"] else None,
        decision=named.get("decision") or "keep",
        note=named.get("note", ""),
    )


def guarded(cell: str) -> str:
    """The cell as text that no spreadsheet runs: a quote before =, +, -, @ and the like."""
    return f"'{cell}" if cell.startswith(_RISKY) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_RISKY) else cell

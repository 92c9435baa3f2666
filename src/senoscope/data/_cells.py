"""Tables as text cells: CSV in the dialects spreadsheets write, and Parquet; reading and writing.

Cells that a spreadsheet would run as a formula are neutralised by a leading apostrophe when written to CSV,
and that apostrophe is taken off when read, so a table survives the round trip.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from senoscope._files import atomic_path
from senoscope.errors import MissingExtraError, TableError

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Cells(NamedTuple):
    """A table as text: ``rows`` pairs each row's number, as a spreadsheet shows it, with its cells."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    decimal_comma: bool = False


def read_cells(path: Path) -> Cells:
    """Cells of a ``.csv`` (or ``.tsv``, ``.txt``) or ``.parquet`` file. Raises ``TableError``."""
    if not path.is_file():
        raise TableError(f"there is no table {path}", expected="a CSV or Parquet file", fix="check the path")
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)


def write_cells(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write text cells as CSV (UTF-8, comma, formulas neutralised) or Parquet, by the suffix."""
    if path.suffix.lower() == ".parquet":
        arrow = _arrow(path)
        columns = {name: [row[index] or None for row in rows] for index, name in enumerate(header)}
        schema = arrow.schema([(name, arrow.string()) for name in header])
        with atomic_path(path) as temporary:
            arrow.parquet.write_table(arrow.table(columns, schema=schema), temporary)
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([neutral(cell) for cell in header])
        writer.writerows([neutral(cell) for cell in row] for row in rows)


def neutral(cell: str) -> str:
    """A cell that no spreadsheet runs; numbers such as ``-1.5`` stay as they are."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _plain(cell: str) -> str:
    """A cell as it was before :func:`neutral`, without surrounding space."""
    cell = cell.strip(" ")
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell.strip()


def _read_csv(path: Path) -> Cells:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path.name} is not UTF-8 text (byte {error.start})", fix="save it as 'CSV UTF-8'"
        ) from None
    delimiter = _delimiter(text)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise TableError(
            f"{path.name} is not a readable CSV: {error}", fix="look for an unclosed quote or a damaged line"
        ) from None
    if not lines:
        raise TableError(f"{path.name} is empty", expected="a header line and one row per image")
    header, *body = lines
    rows = [
        (number, [_plain(cell) for cell in cells])
        for number, cells in enumerate(body, start=2)
        if any(cell.strip() for cell in cells)
    ]
    return Cells([_plain(name) for name in header], rows, decimal_comma=delimiter == ";")


def _delimiter(text: str) -> str:
    """The delimiter of the header line: whichever of comma, semicolon and tab it holds most of."""
    header = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    return max(",;\t", key=header.count)


def _read_parquet(path: Path) -> Cells:
    arrow = _arrow(path)
    try:
        table = arrow.parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise TableError(
            f"{path.name} is not a readable Parquet file: {error}", fix="export it again"
        ) from None
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    rows = [list(cells) for cells in zip(*columns, strict=True)]
    numbered = [(number, cells) for number, cells in enumerate(rows, start=1) if any(cells)]
    return Cells([str(name).strip() for name in table.column_names], numbered)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip(" ")


def _arrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet  # an extra: only Parquet needs it
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"{path.name} is Parquet, which needs the package pyarrow",
            fix="pip install 'senoscope[train]', or use CSV",
        ) from None
    return pyarrow

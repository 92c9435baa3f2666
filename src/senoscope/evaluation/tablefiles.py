"""Reading and writing the cells of Parquet and CSV tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from senoscope._files import atomic_path
from senoscope.errors import MissingExtraError, TableError
from senoscope.evaluation.columns import COLUMNS, Columns, Value

_METADATA_KEY = b"senoscope"
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def write_parquet(columns: Columns, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write checked columns with ``metadata`` as JSON in the schema."""
    arrow, parquet = _arrow()
    kinds = {"text": arrow.string(), "int": arrow.int64(), "float": arrow.float64(), "bool": arrow.bool_()}
    arrays = [
        arrow.array(values, type=kinds[COLUMNS[name].kind] if name in COLUMNS else None)
        for name, values in columns.items()
    ]
    note = {_METADATA_KEY: json.dumps(dict(metadata), sort_keys=True).encode()}
    table = arrow.Table.from_arrays(arrays, names=list(columns)).replace_schema_metadata(note)
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary)


def read_parquet(path: Path) -> tuple[Columns, dict[str, Any]]:
    """Columns and provenance of a Parquet table."""
    arrow, parquet = _arrow()
    try:
        table = parquet.read_table(path)
        note = json.loads((table.schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise TableError(
            f"{path.name}: not a readable Parquet file ({error})",
            expected="a prediction table (.parquet or .csv)",
        ) from error
    columns: Columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return {name: _typed(values, name, path.name) for name, values in columns.items()}, note


def read_csv(path: Path) -> tuple[Columns, dict[str, Any]]:
    """Columns of a CSV table; a CSV carries no provenance."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = list(reader)
            names = list(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise TableError(
            f"{path.name}: not a readable CSV file ({error})", expected="UTF-8, commas"
        ) from error
    ragged = [line for line, row in enumerate(rows, 2) if None in row or None in row.values()]
    if ragged or len(set(names)) < len(names):
        found = f"line {ragged[0]} has another number of cells" if ragged else "a column name stands twice"
        raise TableError(
            f"{path.name}: {found}", expected=f"{len(names)} differently named columns in every line"
        )
    columns = {name.strip(): [row[name].strip() or None for row in rows] for name in names}
    return {name: _typed(values, name, path.name) for name, values in columns.items()}, {}


def _typed(values: Sequence[Value], name: str, source: str) -> list[Value]:
    """Cells in their column's type; a word where a number belongs is refused by row."""
    if name not in COLUMNS:
        return list(values)
    kind = COLUMNS[name].kind
    typed: list[Value] = []
    for row, value in enumerate(values, 1):
        try:
            typed.append(None if value is None else _cell(value, kind))
        except (ValueError, KeyError, OverflowError, TypeError) as error:
            raise TableError(
                f"{source}: {name} is {value!r} in row {row}", expected=f"a {kind} value"
            ) from error
    return typed


def _cell(value: str | int | float | bool, kind: str) -> Value:
    if kind == "text":
        return str(value)
    if kind == "bool":
        return _FLAGS[str(value).lower()]
    number = float(value)
    if np.isnan(number):
        return None  # NaN is how many tools write unknown
    if kind == "float":
        return number
    if number != int(number):
        raise ValueError(number)
    return int(number)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            "Parquet tables need pyarrow, which is not installed",
            fix="pip install 'senoscope[train]', or give the table as CSV",
        ) from error
    return pyarrow, parquet

"""The columns of a prediction table, and the checks that every table must pass, written or read.

Columns are plain lists here, one value per case; ``None`` means unknown. `cases.py` turns them into arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from senoscope.data.overlays import has_text
from senoscope.errors import TableError
from senoscope.evaluation.marks import parse
from senoscope.schema import CLASSES

Value = str | int | float | bool | None
Columns = dict[str, list[Value]]

PROBABILITIES = tuple(f"p_{name}" for name in CLASSES)
LOGITS = tuple(f"logit_{name}" for name in CLASSES)
SPLITS = ("test", "valid")


class Column(NamedTuple):
    """A column's type, the value that stands in when it is missing, and whether a table can go without it."""

    kind: str  # text | int | float | bool
    default: Value = None
    required: bool = False


COLUMNS: dict[str, Column] = {
    "id": Column("text", required=True),
    "dataset": Column("text", ""),
    "patient": Column("text"),
    "group": Column("text"),
    "label": Column("text", required=True),
    "fold": Column("int", 0),
    "split": Column("text", "test"),
    **{name: Column("float", required=True) for name in PROBABILITIES},
    **{name: Column("float") for name in LOGITS},
    "has_mask": Column("bool", False),
    "area_true": Column("int"),
    "area_pred": Column("int"),
    "intersection": Column("int"),
    "dice": Column("float"),
    "iou": Column("float"),
    "hd95": Column("float"),
    "nsd": Column("float"),
    "width": Column("int"),
    "height": Column("int"),
    "device": Column("text"),
    "birads": Column("text"),
    "lesions": Column("int"),
    "marks": Column("text"),
    "overlay": Column("bool"),
}


def complete(columns: Columns, source: str) -> Columns:
    """The table with every known column in order, defaults filled in, then any further columns.

    An unknown ``overlay`` is joined from :mod:`senoscope.data.overlays`, so that tables made before have it too.

    Raises :class:`TableError` when a required column is absent or the table is empty.
    """
    missing = [name for name, column in COLUMNS.items() if column.required and name not in columns]
    if missing:
        raise TableError(
            f"{source}: no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}",
            expected="a prediction table: one row per case with id, label and " + ", ".join(PROBABILITIES),
            fix="rename or add the columns (docs/reference/prediction-table.md)",
        )
    count = len(columns["id"])
    if not count:
        raise TableError(f"{source}: no rows", expected="one row per case")
    known = {
        name: [column.default if v is None else v for v in columns.get(name, [None] * count)]
        for name, column in COLUMNS.items()
    }
    known["overlay"] = [
        has_text(str(dataset), str(case)) if text is None else text
        for text, dataset, case in zip(known["overlay"], known["dataset"], known["id"], strict=True)
    ]
    return known | {name: values for name, values in columns.items() if name not in COLUMNS}


def check(columns: Columns, source: str) -> None:
    """Raise :class:`TableError`, naming the rows, for the first rule that a completed table breaks."""
    for problem in (_ids, _words, _folds, _probabilities, _masks, _marks):
        problem(columns, source)


def as_floats(columns: Columns, *names: str) -> NDArray[np.float64]:
    """Columns as a float64 N×len(names) array, unknown as NaN."""
    picked = [[np.nan if v is None else float(v) for v in columns[name]] for name in names]
    return np.array(picked, dtype=np.float64).T.reshape(-1, len(names))


def _refuse(
    columns: Columns, source: str, rows: Sequence[int], found: str, expected: str, fix: str = ""
) -> None:
    if not rows:
        return
    shown = ", ".join(f"{r + 1} ({columns['id'][r]})" for r in rows[:5])
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    raise TableError(f"{source}: {found} in row {shown}{more}", expected=expected, fix=fix)


def _where(values: Sequence[Value], wrong: Callable[[Value], bool]) -> list[int]:
    return [row for row, value in enumerate(values) if wrong(value)]


def _ids(columns: Columns, source: str) -> None:
    _refuse(columns, source, _where(columns["id"], lambda v: not v), "empty id", "an id in every row")
    seen: dict[tuple[Value, ...], str] = {}
    repeated, crossing = [], []
    keys = zip(*(columns[name] for name in ("dataset", "id", "fold", "split")), strict=True)
    for row, (dataset, case, fold, split) in enumerate(keys):
        # A case is tested once in the whole table, and may help to choose thresholds once per fold.
        key = (dataset, case) if split == "test" else (dataset, case, fold)
        other = seen.get((dataset, case, fold, "any"))
        if key in seen:
            repeated.append(row)
        elif other is not None and other != split:
            crossing.append(row)
        seen[key] = seen[dataset, case, fold, "any"] = str(split)
    _refuse(
        columns, source, repeated, "duplicated id",
        "one test row per case, and one validation row per case and fold",
        "average repeated predictions of a case, or write one table per seed",
    )  # fmt: skip
    _refuse(
        columns, source, crossing, "validation case that is also tested in the same fold",
        "thresholds and temperature are chosen on cases that are not tested with them",
    )  # fmt: skip


def _words(columns: Columns, source: str) -> None:
    for name, allowed in (("label", (*CLASSES, None)), ("split", SPLITS)):
        rows = _where(columns[name], lambda v, allowed=allowed: v not in allowed)  # type: ignore[misc]
        named = ", ".join(sorted({repr(columns[name][r]) for r in rows}))
        words = ", ".join(w for w in allowed if w)
        _refuse(columns, source, rows, f"{name} {named}", f"one of {words}")


def _folds(columns: Columns, source: str) -> None:
    rows = _where(columns["fold"], lambda v: not isinstance(v, int) or v < 0)
    _refuse(columns, source, rows, "fold that is not a whole number from 0", "0, 1, 2 …")


def _probabilities(columns: Columns, source: str) -> None:
    values = as_floats(columns, *PROBABILITIES)
    absent = np.isnan(values).all(axis=1)  # a system without a class head
    inside = (values >= 0) & (values <= 1)  # false for NaN
    wrong = ~absent & ~inside.all(axis=1)
    _refuse(
        columns, source, np.flatnonzero(wrong).tolist(), "probability outside 0..1 or partly missing",
        "three numbers in 0..1, or none at all for a system that does not classify",
    )  # fmt: skip
    sums = values.sum(axis=1)
    wrong = ~absent & (np.abs(sums - 1) > 1e-3)
    found = f"probabilities that sum to {sums[wrong][0]:.4g}" if wrong.any() else ""
    _refuse(columns, source, np.flatnonzero(wrong).tolist(), found, "p_normal + p_benign + p_malignant = 1")
    logits = as_floats(columns, *LOGITS)
    given = ~np.isnan(logits).all(axis=1) & ~absent
    scores = np.exp(logits[given] - np.nanmax(logits[given], axis=1, keepdims=True, initial=-np.inf))
    softmax = np.nan_to_num(scores / np.nansum(scores, axis=1, keepdims=True))
    apart = np.flatnonzero(given)[np.abs(softmax - values[given]).max(axis=1, initial=0) > 5e-3]
    _refuse(
        columns, source, apart.tolist(), "probabilities that are not the softmax of the logits",
        "uncalibrated softmax; temperature is fitted here, on the validation rows",
    )  # fmt: skip


def _masks(columns: Columns, source: str) -> None:
    areas = as_floats(columns, "area_true", "area_pred", "intersection")
    wrong = (areas < 0).any(axis=1) | (areas[:, 2] > np.fmin(areas[:, 0], areas[:, 1]))
    _refuse(
        columns, source, np.flatnonzero(wrong).tolist(), "impossible areas",
        "pixel counts from 0, with an intersection no larger than either mask",
    )  # fmt: skip
    unknown = [r for r in _where(columns["has_mask"], bool) if columns["area_true"][r] is None]
    _refuse(columns, source, unknown, "has_mask without area_true", "the true lesion's area in pixels")
    for name, low, high in (("dice", 0.0, 1.0), ("iou", 0.0, 1.0), ("nsd", 0.0, 1.0), ("hd95", 0.0, np.inf)):
        value = as_floats(columns, name)[:, 0]
        rows = np.flatnonzero((value < low) | (value > high) | np.isinf(value))
        _refuse(columns, source, rows.tolist(), f"{name} out of range", f"{low:g} to {high:g}")
    stated = as_floats(columns, "dice")[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        counted = 2 * areas[:, 2] / (areas[:, 0] + areas[:, 1])
    rows = np.flatnonzero(np.abs(stated - counted) > 1e-3)
    expected = "2·intersection / (area_true + area_pred)"
    _refuse(columns, source, rows.tolist(), "dice that its areas contradict", expected)


def _marks(columns: Columns, source: str) -> None:
    lesions = columns["lesions"]
    rows = _where(lesions, lambda v: v is not None and float(v) < 0)
    _refuse(columns, source, rows, "negative number of lesions", "a count from 0")
    rows = [
        row
        for row, text in enumerate(columns["marks"])
        if text is not None and not _plain(text, lesions[row])
    ]
    _refuse(
        columns, source, rows, "marks that are no list of marks",
        "[[score, lesion or null], …] as JSON, lesions counted from 0 and below the column lesions",
    )  # fmt: skip


def _plain(text: Value, lesions: Value) -> bool:
    try:
        marks = parse(str(text))
    except (ValueError, TypeError):
        return False
    most = -1 if lesions is None else int(lesions) - 1
    return all(hit is None or hit <= most for _, hit in marks)

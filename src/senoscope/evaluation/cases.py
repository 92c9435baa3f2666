"""The prediction table: one row per case, from which every figure is computed.

A table is a Parquet file (its provenance as JSON in the schema's metadata) or, for another tool's
predictions, a CSV with at least ``id``, ``label`` and the three probabilities. The columns are described in
docs/reference/prediction-table.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from senoscope.errors import MaskError, TableError, UsageError
from senoscope.evaluation.columns import COLUMNS, LOGITS, PROBABILITIES, Columns, Value, check, complete
from senoscope.evaluation.marks import Marked, mark_cells
from senoscope.evaluation.surfaces import surface_scores
from senoscope.evaluation.table import PredictionTable, from_columns
from senoscope.evaluation.tablefiles import read_csv, read_parquet, write_parquet
from senoscope.schema import CLASSES, BoolArray, Record

Row = dict[str, Value]


def case_row(
    record: Record,
    mask_true: BoolArray | None,
    mask_pred: BoolArray | None,
    logits: Sequence[float] | NDArray[np.floating[Any]] | None,
    classes: Sequence[str] = CLASSES,
    fold: int = 0,
    split: str = "test",
    regions: Sequence[Marked] | None = None,
) -> Row:
    """One row of a prediction table.

    Masks are H×W in the original frame; ``mask_true=None`` means that the truth is unknown, an empty mask
    that the image is known to hold no lesion. ``logits`` (uncalibrated) follow ``classes``; ``None`` for a
    system that does not classify, as ``mask_pred=None`` for one that does not segment. ``regions`` are what
    ``mask_pred`` unites, each with its score, for free-response figures. Raises
    :class:`MaskError` when the masks' sizes differ and :class:`UsageError` for a class that is not one of the
    table's.
    """
    clinical = {key.lower(): value for key, value in record.clinical.items()}
    row: Row = {
        "id": record.id,
        "dataset": record.dataset,
        "patient": record.patient,
        "group": record.group,
        "label": record.label,
        "fold": int(fold),
        "split": split,
        "device": _text(clinical.get("device")),
        "birads": _text(clinical.get("birads")),
    }
    row |= _class_cells(logits, classes) | _mask_cells(record.id, mask_true, mask_pred)
    normal = row["p_normal"]
    return row | mark_cells(mask_true, regions, None if normal is None else 1 - float(normal))


def _text(value: str | float | None) -> str | None:
    if value is None or value == "":
        return None
    return f"{value:g}" if isinstance(value, int | float) else value


def _class_cells(logits: Sequence[float] | NDArray[Any] | None, classes: Sequence[str]) -> Row:
    row: Row = dict.fromkeys((*PROBABILITIES, *LOGITS))
    if logits is None:
        return row
    unknown = [name for name in classes if name not in CLASSES]
    values = np.asarray(logits, dtype=np.float64).reshape(-1)
    if unknown or len(values) != len(classes):
        raise UsageError(
            f"{len(values)} logits for the classes {', '.join(classes)}",
            expected=f"one logit per class, each of {', '.join(CLASSES)}",
        )
    exponents = np.exp(values - values.max())
    shares = exponents / exponents.sum()
    row |= dict.fromkeys(PROBABILITIES, 0.0)  # a class the system does not know is never predicted
    for name, share, value in zip(classes, shares, values, strict=True):
        row[f"p_{name}"], row[f"logit_{name}"] = float(share), float(value)
    return row


def _mask_cells(case: str, truth: BoolArray | None, predicted: BoolArray | None) -> Row:
    sizes = [f"{mask.shape[1]}×{mask.shape[0]}" for mask in (truth, predicted) if mask is not None]
    if len(set(sizes)) > 1:
        raise MaskError(
            f"{case}: predicted mask of {sizes[1]} px for a truth of {sizes[0]} px",
            expected="both masks in the original image's frame",
        )
    row: Row = dict.fromkeys(("area_true", "area_pred", "intersection", "dice", "iou", "hd95", "nsd"))
    row |= {"has_mask": truth is not None, "width": None, "height": None}
    for name, mask in (("area_true", truth), ("area_pred", predicted)):
        if mask is not None:
            row["height"], row["width"] = mask.shape
            row[name] = int(np.count_nonzero(mask))
    if truth is None or predicted is None:
        return row
    common = int(np.count_nonzero(truth & predicted))
    union = int(np.count_nonzero(truth | predicted))
    row["intersection"] = common
    if truth.any():  # overlap is a lesion's measure; cases without one are counted by false positives
        row["dice"], row["iou"] = 2 * common / (union + common), common / union
        row["hd95"], row["nsd"] = surface_scores(truth, predicted)
    return row


def write_table(rows: Sequence[Row], path: Path, metadata: Mapping[str, Any]) -> None:
    """Check rows and write them as Parquet, whole or not at all.

    ``metadata`` is JSON-able provenance: ``split`` and ``split_hash``, ``system``, ``stamps`` (warnings that
    every report must show, such as an overridden leak), ``machine``. Raises :class:`TableError` for rows that
    :func:`read_table` would refuse, :class:`MissingExtraError` without pyarrow.
    """
    columns = complete(_columns(rows), path.name)
    check(columns, path.name)
    write_parquet(columns, path, metadata)


def read_table(path: Path) -> PredictionTable:
    """Read and check a ``.parquet`` or ``.csv`` prediction table.

    Raises :class:`TableError`, naming the rows, for missing columns, duplicated ids, words or numbers out of
    range, probabilities that do not sum to 1, and files that are not tables.
    """
    if not path.is_file():
        raise TableError(f"{path}: no such file", expected="a prediction table (.parquet or .csv)")
    columns, metadata = read_csv(path) if path.suffix.lower() == ".csv" else read_parquet(path)
    return from_columns(columns, metadata, path.name)


def from_rows(rows: Sequence[Row], metadata: Mapping[str, Any] | None = None) -> PredictionTable:
    """A table in memory from :func:`case_row` rows, checked as a file would be."""
    return from_columns(_columns(rows), metadata or {}, "rows")


def _columns(rows: Sequence[Row]) -> Columns:
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(COLUMNS)
    return {name: [row.get(name) for row in rows] for name in names}

"""Two prediction tables of the same cases, brought into one order; refused where they cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from senoscope.errors import TableError
from senoscope.evaluation.table import PredictionTable, Words
from senoscope.schema import CLASSES, BoolArray

_SHOWN = 10  # cases listed in one message

Key = tuple[str, str]


def pair(
    first: PredictionTable, second: PredictionTable, names: tuple[str, str]
) -> tuple[PredictionTable, PredictionTable]:
    """The test rows of both tables, in the first's order and with the same patients and groups.

    A patient or duplicate group that only one table names holds for both. Datasets are compared where both tables
    name them. Raises :class:`TableError` for splits of different hashes, for cases that one side lacks (listing them),
    and where the tables disagree on a case's label or on its true lesion's area.
    """
    _same_split(first, second, names)
    first, second = first.where(first.test), second.where(second.test)
    named = bool(first.dataset.any() and second.dataset.any())
    keys = _keys(first, named), _keys(second, named)
    _same_cases(keys, names)
    place = {key: row for row, key in enumerate(keys[1])}
    order = np.array([place[key] for key in keys[0]], dtype=np.int64)
    second = replace(second, **{n: getattr(second, n)[order] for n in _columns(second)})
    _same_truth(first, second, names)
    patient, group = _either(first.patient, second.patient), _either(first.group, second.group)
    dataset = first.dataset if named or first.dataset.any() else second.dataset
    return (
        replace(first, dataset=dataset, patient=patient, group=group),
        replace(second, dataset=dataset, patient=patient, group=group),
    )


def _columns(table: PredictionTable) -> list[str]:
    return [name for name in table.__dataclass_fields__ if name != "metadata"]


def _same_split(first: PredictionTable, second: PredictionTable, names: tuple[str, str]) -> None:
    told = [table.metadata.get("split_hash") for table in (first, second)]
    if all(told) and told[0] != told[1]:
        splits = [
            f"{name} was tested on {table.metadata.get('split') or 'a split without a name'} ({str(code)[:12]}…)"
            for name, table, code in zip(names, (first, second), told, strict=True)
        ]
        raise TableError(
            f"the tables come from different splits: {'; '.join(splits)}",
            expected="two systems measured on one split, so that training left out the same cases",
            fix="train or predict both under the same split",
        )


def _keys(table: PredictionTable, named: bool) -> list[Key]:
    datasets = table.dataset.tolist() if named else [""] * len(table)
    return list(zip(datasets, table.id.tolist(), strict=True))


def _same_cases(keys: tuple[Sequence[Key], Sequence[Key]], names: tuple[str, str]) -> None:
    for side in keys:
        if len(set(side)) < len(side):
            raise TableError(
                "an id is tested in several datasets, and one of the tables names none",
                expected="the column dataset in both tables",
            )
    absent = [
        f"{name} lacks {_some(sorted(key[1] for key in set(other) - set(own)))}"
        for name, own, other in ((names[0], *keys), (names[1], *keys[::-1]))
        if set(other) - set(own)
    ]
    if absent:
        raise TableError(
            f"the tables test different cases: {'; '.join(absent)}",
            expected="the same test cases in both",
            fix="compare the same folds of both systems",
        )


def _same_truth(first: PredictionTable, second: PredictionTable, names: tuple[str, str]) -> None:
    labels = (first.label >= 0) & (second.label >= 0) & (first.label != second.label)
    areas = first.has_mask & second.has_mask & (first.area_true != second.area_true)
    for wrong, what in ((labels, "label"), (areas, "true lesion's area")):
        if wrong.any():
            told = [_truth(first, second, row, what) for row in np.flatnonzero(wrong).tolist()]
            raise TableError(
                f"{names[0]} and {names[1]} disagree on the {what} of {_some(told)}",
                expected="the same truth in both tables",
            )


def _truth(first: PredictionTable, second: PredictionTable, row: int, what: str) -> str:
    if what == "label":
        return f"{first.id[row]} ({CLASSES[first.label[row]]}, {CLASSES[second.label[row]]})"
    return f"{first.id[row]} ({first.area_true[row]:.0f}, {second.area_true[row]:.0f} px)"


def _either(one: Words, other: Words) -> Words:
    known: BoolArray = np.array([word is not None for word in one], dtype=bool)
    return np.where(known, one, other)


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return f"{len(ids)} case{'s' if len(ids) > 1 else ''}: {', '.join(ids[:_SHOWN])}{more}"

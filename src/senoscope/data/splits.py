"""Splits are files: who is in which fold, one reviewed CSV row per image, hashed; leaks are refused.

Columns: ``id, dataset, patient, group, label, fold, decision, note``. Only ``id`` and ``fold`` are required of a
user's own file. ``decision`` is ``keep`` or ``drop`` (a dropped row has no fold); ``note`` says why, for people, and
is the one column that the hash leaves out.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from senoscope._files import write_text
from senoscope.data._folds import assign, components
from senoscope.data._split_file import COLUMNS, SplitRow, parse, render
from senoscope.errors import LeakageError, TableError, UsageError
from senoscope.schema import CLASSES, Record

__all__ = [
    "COLUMNS",
    "FROZEN",
    "Leak",
    "Split",
    "SplitRow",
    "check_leaks",
    "find_leaks",
    "load_split",
    "make_split",
    "require_no_leaks",
    "save_split",
    "validation_ids",
]

FROZEN = Path(__file__).parent / "frozen"
LINKS = ("patient", "group")


@dataclass(frozen=True)
class Split:
    """A split: its rows in file order, and the name it goes by in reports."""

    name: str
    rows: tuple[SplitRow, ...]

    @cached_property
    def hash(self) -> str:
        """Hex SHA-256 of what decides: every column but the note, rows sorted, so layout does not matter."""
        decisive = ("dataset", "id", "patient", "group", "label", "fold", "decision")
        cells = [
            ["" if (cell := getattr(row, name)) is None else str(cell) for name in decisive]
            for row in self.rows
        ]
        lines = sorted("\x1f".join(line) for line in cells)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def folds(self) -> tuple[int, ...]:
        """The fold numbers, ascending."""
        return tuple(sorted({row.fold for row in self.rows if row.fold is not None}))

    @cached_property
    def _index(self) -> dict[str, SplitRow]:
        """Rows by id, and by the id without its ``dataset:`` prefix where that is unambiguous."""
        bare: dict[str, list[SplitRow]] = defaultdict(list)
        for row in self.rows:
            bare[row.id.removeprefix(f"{row.dataset}:")].append(row)
        index = {name: rows[0] for name, rows in bare.items() if len(rows) == 1}
        return index | {row.id: row for row in self.rows}

    def row(self, id: str) -> SplitRow | None:
        """The row of an image, or ``None`` if the split does not know it."""
        return self._index.get(id)

    def fold_of(self, id: str) -> int | None:
        """The fold an image is tested in; ``None`` if it was dropped or the split does not know it."""
        row = self.row(id)
        return None if row is None else row.fold

    def test(self, fold: int) -> tuple[str, ...]:
        """Ids of one fold, in file order. Raises ``UsageError`` for a fold that is not there."""
        self._require(fold)
        return tuple(row.id for row in self.rows if row.fold == fold)

    def train(self, fold: int) -> tuple[str, ...]:
        """Ids of every other fold, in file order (validation images included: see ``validation_ids``)."""
        self._require(fold)
        return tuple(row.id for row in self.rows if row.fold is not None and row.fold != fold)

    def summary(self) -> dict[str, Any]:
        """Counts per fold and class, and sizes of the groups, ready for JSON."""
        labels = sorted({row.label or "no label" for row in self.rows}, key=_class_order)
        sizes = Counter(row.group for row in self.rows if row.group)
        by_fold = {fold: [row for row in self.rows if row.fold == fold] for fold in self.folds}
        return {
            "name": self.name,
            "hash": self.hash,
            "labels": labels,
            "folds": [
                {
                    "fold": fold,
                    "images": len(rows),
                    "counts": {
                        label: sum((row.label or "no label") == label for row in rows) for label in labels
                    },
                    "groups": len({row.group for row in rows if row.group}),
                }
                for fold, rows in by_fold.items()
            ],
            "group_sizes": {str(size): count for size, count in sorted(Counter(sizes.values()).items())},
            "dropped": sum(row.decision == "drop" for row in self.rows),
        }

    def _require(self, fold: int) -> None:
        if fold not in self.folds:
            raise UsageError(f"split {self.name} has no fold {fold}", expected=f"one of {list(self.folds)}")


@dataclass(frozen=True)
class Leak:
    """A patient, duplicate group or image that stands on several sides; ``sides`` names the ids on each."""

    kind: str  # "patient" | "group" | "image"
    name: str
    sides: Mapping[str, tuple[str, ...]]

    def as_dict(self) -> dict[str, Any]:
        """The leak, ready for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "sides": {side: list(ids) for side, ids in self.sides.items()},
        }

    def __str__(self) -> str:
        shown = "; ".join(f"{side}: {_some(ids, 3)}" for side, ids in self.sides.items())
        return f"{self.kind} {self.name} ({shown})"


def load_split(name_or_path: str | Path) -> Split:
    """A frozen split by name (``busi-grouped-5fold``, ``bus-bra-official``) or a user's CSV by path.

    Raises ``UsageError`` for an unknown name, ``TableError`` listing every bad row by number.
    """
    path = Path(name_or_path)
    frozen = FROZEN / f"{name_or_path}.csv"
    if path.name == str(name_or_path) and frozen.is_file():
        path = frozen
    if not path.is_file():
        known = ", ".join(sorted(entry.stem for entry in FROZEN.glob("*.csv")))
        raise UsageError(
            f"no split is called {name_or_path}, nor is it a file",
            expected=f"a frozen split ({known}) or the path of a CSV",
            fix="make one with: senoscope split DATASET --folds 5 --seed 0 --out split.csv",
        )
    return Split(path.stem, parse(path))


def save_split(split: Split, path: Path) -> None:
    """Write a split as CSV, whole or not at all; cells that a spreadsheet would run are quoted."""
    write_text(path, render(split.rows))


def find_leaks(sides: Mapping[str, Iterable[Record]], links: Sequence[str] = ("image", *LINKS)) -> list[Leak]:
    """Every image, patient and duplicate group that stands on more than one side.

    ``sides`` maps a side's name (``train``, ``test``, ``fold 3``) to its records. Patients and groups are compared
    within a dataset, since two datasets may both number their patients from 1.
    """
    seen: dict[tuple[str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for side, records in sides.items():
        for record in records:
            for kind in links:
                value = record.id if kind == "image" else getattr(record, kind)
                if value is not None:
                    seen[kind, record.dataset, value][side].append(record.id)
    return [
        Leak(kind, name, {side: tuple(ids) for side, ids in where.items()})
        for (kind, _, name), where in sorted(seen.items())
        if len(where) > 1
    ]


def check_leaks(split: Split, records: Iterable[Record] = ()) -> list[Leak]:
    """Leaks between the folds of a split, by its own patient and group columns and by those of ``records``.

    So a file without a group column is still held against the groups that the records carry.
    """
    sides: dict[str, list[Record]] = defaultdict(list)
    for row in split.rows:
        if row.fold is not None:
            sides[f"fold {row.fold}"].append(_as_record(row))
    leaks = find_leaks(sides)
    known = {(leak.kind, frozenset(_all_ids(leak))) for leak in leaks}
    joined: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        own = split.row(record.id)
        if own is not None and own.fold is not None:
            joined[f"fold {own.fold}"].append(replace(record, id=own.id))
    more = find_leaks(joined, LINKS)
    return leaks + [leak for leak in more if (leak.kind, frozenset(_all_ids(leak))) not in known]


def require_no_leaks(split: Split, records: Iterable[Record] = (), *, allow: bool = False) -> tuple[str, ...]:
    """Refuse a leaking split. Returns the stamps that every later report must carry (none if it is clean).

    Raises ``LeakageError`` naming patients, groups, ids and folds unless ``allow``.
    """
    leaks = check_leaks(split, records)
    if not leaks:
        return ()
    counts = ", ".join(
        f"{n} {kind}{'s' if n > 1 else ''}"
        for kind in ("image", *LINKS)
        if (n := sum(leak.kind == kind for leak in leaks))
    )
    if not allow:
        raise LeakageError(
            f"split {split.name} leaks: {counts} stand in several folds: {_some([str(leak) for leak in leaks], 5)}",
            expected="every patient and every group of near-duplicates within one fold",
            fix="split again with: senoscope split, or allow the leak, which marks every report made from it",
        )
    return (f"LEAKING SPLIT {split.name}: {counts} stand in several folds; its figures are too good.",)


def make_split(
    records: Sequence[Record], folds: int, seed: int = 0, *, by: Sequence[str] = LINKS, name: str = "split"
) -> Split:
    """k folds, numbered from 1, balanced over classes; whatever shares a patient or group stays together.

    ``by`` names the links that bind images (``patient``, ``group``; empty: none, which leaks). Largest clusters are
    placed first, each into the fold that keeps the classes most even. The same records and seed give the same split,
    in whatever order the records come. Raises ``UsageError`` if there are fewer clusters than folds.
    """
    ids = [record.id for record in records]
    twice = sorted({id for id in ids if ids.count(id) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise TableError(f"{len(twice)} ids stand twice: {_some(twice, 5)}", expected="each image once")
    ordered = sorted(records, key=lambda record: record.id)
    clusters = components([_keys(record, by) for record in ordered])
    if folds < 2 or len(clusters) < folds:
        raise UsageError(
            f"{len(ordered)} images in {len(clusters)} clusters cannot make {folds} folds",
            expected="at least two folds and as many clusters as folds",
        )
    labels = [record.label or "" for record in ordered]
    placed = assign(clusters, labels, [1 / folds] * folds, [seed])
    fold_of = {ordered[i].id: placed[i] + 1 for i in range(len(ordered))}
    return Split(name, tuple(_as_row(record, fold_of[record.id]) for record in records))


def validation_ids(split: Split, test_fold: int, fraction: float = 0.15, seed: int = 0) -> tuple[str, ...]:
    """Ids, out of the training folds, to validate on: about ``fraction`` of each class, no patient or group cut."""
    if not 0 < fraction < 1:
        raise UsageError(f"validation fraction is {fraction}", expected="a share between 0 and 1")
    ids = set(split.train(test_fold))
    rows = sorted((row for row in split.rows if row.id in ids), key=lambda row: row.id)
    clusters = components([_keys(row, LINKS) for row in rows])
    placed = assign(clusters, [row.label or "" for row in rows], [1 - fraction, fraction], [seed, test_fold])
    chosen = {row.id for row, side in zip(rows, placed, strict=True) if side == 1}
    return tuple(row.id for row in split.rows if row.id in chosen)


def _keys(item: Record | SplitRow, by: Sequence[str]) -> list[tuple[str, str, str]]:
    return [(kind, item.dataset, value) for kind in by if (value := getattr(item, kind)) is not None]


def _as_record(row: SplitRow) -> Record:
    return Record(
        id=row.id, dataset=row.dataset, image=Path(), modality="US", patient=row.patient, group=row.group
    )


def _as_row(record: Record, fold: int) -> SplitRow:
    return SplitRow(
        id=record.id,
        dataset=record.dataset,
        patient=record.patient,
        group=record.group,
        label=record.label,
        fold=fold,
    )


def _all_ids(leak: Leak) -> list[str]:
    return [id for ids in leak.sides.values() for id in ids]


def _some(items: Sequence[str], count: int) -> str:
    rest = len(items) - count
    return ", ".join(items[:count]) + (f" and {rest} more" if rest > 0 else "")


def _class_order(label: str) -> tuple[int, str]:
    return (CLASSES.index(label) if label in CLASSES else len(CLASSES), label)

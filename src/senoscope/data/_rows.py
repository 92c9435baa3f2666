"""Rows of a user's table, checked one by one: every problem is collected, none stops the reading."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from senoscope import catalog
from senoscope.data._cells import Cells
from senoscope.schema import Box, Record

BOX = ("x", "y", "width", "height")
SPACING = ("spacing_row", "spacing_col")
REQUIRED = ("id", "image")
OPTIONAL = ("mask", "label", "patient", "group", "split", "fold", "modality", "laterality", "view")
KNOWN = (*REQUIRED, *OPTIONAL, *SPACING, *BOX)
MODALITIES = ("US", "MG", "MR", "SM", "XC", "DX", "CR", "CT", "OT")
NO_LESION = "none"
_SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")  # "007" is a name, not a number


class RowReader:
    """Turns rows into Records. ``problems`` lists what is wrong, each with its row's number."""

    def __init__(self, root: Path, cells: Cells, classes: Sequence[str] | None) -> None:
        self.problems: list[str] = []
        self._root, self._classes = root, classes
        self._titles = {name.casefold(): name for name in cells.header}
        self._comma = cells.decimal_comma
        self._seen: dict[tuple[str, str], int] = {}
        self._row = 0
        extra = [(index, name) for index, name in enumerate(self._titles) if name and name not in KNOWN]
        # A column is numbers only if all of it is: "4" in a column with "4A" is a category.
        self._numeric = {
            name
            for index, name in extra
            if all(
                _NUMBER.fullmatch(self._dot(row[index]))
                for _, row in cells.rows
                if len(row) > index and row[index]
            )
        }

    def read(self, number: int, cells: list[str]) -> Record:
        """One row as a Record; what cannot be read is ``None`` and becomes a problem."""
        self._row = number
        if len(cells) != len(self._titles):
            self._problem(f"{len(cells)} cells under {len(self._titles)} columns")
        row = dict.fromkeys(KNOWN, "") | dict(zip(self._titles, cells, strict=False))
        self._identify(row["id"], row["image"])
        label = self._one_of("label", row["label"], self._classes)
        masks = self._masks(row["mask"], label)
        boxes = self._boxes([row[name] for name in BOX])
        side = self._one_of("laterality", row["laterality"].casefold(), _SIDES)
        return Record(
            id=row["id"],
            dataset="table",
            image=self._file("image", row["image"]),
            modality=self._one_of("modality", row["modality"].upper(), MODALITIES) or "US",
            label=label,
            masks=masks,
            boxes=() if boxes is None and masks == () else boxes,
            patient=row["patient"] or None,
            group=row["group"] or None,
            view=row["view"] or None,
            laterality=_SIDES[side] if side else None,
            spacing=self._spacing([row[name] for name in SPACING]),
            clinical=self._clinical(row),
        )

    def _problem(self, text: str) -> None:
        self.problems.append(f"row {self._row}: {text}")

    def _identify(self, name: str, image: str) -> None:
        # Ids become names of output files, so they may not lead anywhere else.
        if not name or not name.isprintable() or name[0] in "/\\~" or ".." in name:
            self._problem(f"id {name!r} is empty, holds '..' or control characters, or starts like a path")
        for column, text in (("id", name), ("image", image)):
            first = self._seen.setdefault((column, text), self._row)
            if text and first != self._row:
                self._problem(f"{column} '{text}' stands in row {first} already")

    def _one_of(self, column: str, text: str, choices: Iterable[str] | None) -> str | None:
        known = {choice.casefold(): choice for choice in choices} if choices is not None else {}
        if not text or choices is None:
            return text or None
        if text.casefold() not in known:
            close = catalog.nearest(text, known.values())
            hint = f"; perhaps '{close[0]}'" if close else ", and an empty cell means unknown"
            self._problem(f"{column} '{text}' is none of {', '.join(known.values())}{hint}")
        return known.get(text.casefold())

    def _file(self, column: str, text: str) -> Path:
        place = text.replace("\\", "/")
        if not text:
            self._problem(f"{column} is empty")
        elif _escapes(text):
            self._problem(
                f"{column} '{text}' leaves the table's folder; paths must be relative, without '..'"
            )
        elif not text.isprintable() or not _is_file(self._root / place):
            self._problem(f"{column} '{text}' does not exist")
        return self._root / place

    def _masks(self, text: str, label: str | None) -> tuple[Path, ...] | None:
        if text.casefold() == NO_LESION or (not text and label == "normal"):
            return ()
        names = [name.strip() for name in text.split(";") if name.strip()]
        return tuple(self._file("mask", name) for name in names) or None

    def _boxes(self, texts: list[str]) -> tuple[Box, ...] | None:
        if not any(texts):
            return None
        columns = [
            [self._number(name, part.strip()) for part in text.split(";")]
            for name, text in zip(BOX, texts, strict=True)
        ]
        if len({len(column) for column in columns}) > 1:
            self._problem("x, y, width and height hold different numbers of boxes")
            return None
        boxes = tuple(Box(*values) for values in zip(*columns, strict=True))
        if any(box.width <= 0 or box.height <= 0 for box in boxes):
            self._problem("width and height of a box must be above 0")
        return boxes

    def _spacing(self, texts: list[str]) -> tuple[float, float] | None:
        if not any(texts):
            return None
        row, column = (self._number(name, text) for name, text in zip(SPACING, texts, strict=True))
        if row <= 0 or column <= 0:
            self._problem(f"{SPACING[0]} and {SPACING[1]} must be above 0 (mm per pixel)")
        return row, column

    def _number(self, column: str, text: str) -> float:
        """A finite number; 1 with a problem noted where there is none, so that only one is noted."""
        try:
            value = float(self._dot(text))
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        self._problem(
            f"{column} '{text}' is not a number" if text else f"{column} is empty beside its fellows"
        )
        return 1.0

    def _clinical(self, row: dict[str, str]) -> dict[str, str | float | None]:
        values: dict[str, str | float | None] = {}
        if row["split"]:
            values["split"] = row["split"]
        if row["fold"]:
            values["fold"] = self._number("fold", row["fold"])
        for name, title in self._titles.items():
            if name and name not in KNOWN:
                text = row.get(name, "")
                values[title] = (float(self._dot(text)) if name in self._numeric else text) if text else None
        return values

    def _dot(self, text: str) -> str:
        """A number with a decimal point: semicolon-separated tables often use a decimal comma."""
        return text.replace(",", ".") if self._comma and text.count(",") == 1 else text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False


def _escapes(text: str) -> bool:
    """Whether a path is absolute on any system or steps upwards."""
    path = PureWindowsPath(text)
    return bool(path.drive or path.root) or ".." in path.parts or text.startswith("~")

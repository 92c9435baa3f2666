"""BUS-BRA: 1,875 breast ultrasound images of 1,064 patients (Gómez-Flores et al. 2024, 10.1002/mp.16812).

``Images/bus_0001-l.png`` with ``Masks/mask_0001-l.png``, ``bus_data.csv`` (one row per image) and
``5-fold-cv.csv`` (the owner's patient-level folds). Benign and malignant only, one lesion per image.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from senoscope.data._layout import find_root, image_size, read_rows
from senoscope.data.verify import Problem
from senoscope.errors import DatasetError
from senoscope.schema import Box, Record

FOLDER = "BUSBRA"
TABLE, FOLDS = "bus_data.csv", "5-fold-cv.csv"
COLUMNS = ("ID", "Case", "Histology", "Pathology", "BIRADS", "Device", "Width", "Height", "Side", "BBOX")
# Heights that are wrong in the owner's table: with these, image proportions and mask agree with BBOX.
_HEIGHTS = {"bus_0856-l": 353, "bus_0857-r": 393, "bus_0990-l": 352}
_SIDES = {"left": "L", "right": "R"}  # "single" says that one image was taken, not of which breast
_BOX = re.compile(r"\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]")


def read(root: Path) -> list[Record]:
    """One Record per row of ``bus_data.csv`` whose image is on disk, in the table's order.

    ``clinical`` holds histology, birads, device, side (the owner's word) and fold (1 to 5, the owner's).
    Raises ``DatasetError`` for another layout or a value that cannot be read, naming the row's id.
    """
    base = find_root(root, FOLDER, ("Images", "Masks", TABLE))
    folds = read_folds(base)
    rows = read_rows(base / TABLE, COLUMNS)
    return [_record(base, row, folds) for row in rows if image_path(base, row["ID"]).is_file()]


def read_folds(base: Path) -> dict[str, int]:
    """The owner's test fold of each image id, empty if the file is not there."""
    path = base / FOLDS
    if not path.is_file():
        return {}
    rows = read_rows(path, ("ID", "kFold"))
    return {row["ID"]: _number(row["ID"], "kFold", row["kFold"]) for row in rows}


def image_path(base: Path, name: str) -> Path:
    """Where the image of an id lies."""
    return base / "Images" / f"{_plain(name)}.png"


def mask_path(base: Path, name: str) -> Path:
    """Where the mask of an id lies."""
    return base / "Masks" / f"mask_{_plain(name).removeprefix('bus_')}.png"


def _record(base: Path, row: dict[str, str], folds: dict[str, int]) -> Record:
    name = row["ID"]
    image, mask = image_path(base, name), mask_path(base, name)
    clinical: dict[str, str | float | None] = {
        "histology": row["Histology"] or None,
        "birads": row["BIRADS"] or None,
        "device": row["Device"] or None,
        "side": row["Side"] or None,
    }
    if name in folds:
        clinical["fold"] = folds[name]
    if row["Pathology"] not in ("benign", "malignant", ""):
        raise DatasetError(
            f"{TABLE}: {name} has Pathology '{row['Pathology']}'", expected="benign or malignant"
        )
    return Record(
        id=f"bus-bra:{name}",
        dataset="bus-bra",
        image=image,
        modality="US",
        label=row["Pathology"] or None,
        masks=(mask,) if mask.is_file() else None,
        boxes=_boxes(row, image),
        patient=f"bus-bra:{row['Case']}" if row["Case"] else None,
        laterality=_SIDES.get(row["Side"]),
        clinical=clinical,
    )


def _boxes(row: dict[str, str], image: Path) -> tuple[Box, ...] | None:
    """The lesion's box in the frame of the file on disk.

    BBOX is [x, y, w, h] counted from 1 with w and h one less than the pixels covered: in every image at its
    original size, x - 1 is the mask's first column and w + 1 its width.
    """
    if not row["BBOX"]:
        return None
    match = _BOX.fullmatch(row["BBOX"])
    if not match:
        raise DatasetError(f"{TABLE}: {row['ID']} has BBOX '{row['BBOX']}'", expected="[x,y,width,height]")
    x, y, width, height = (int(part) for part in match.groups())
    across, down = image_size(image)
    original = _original_size(row)
    return (Box(x - 1, y - 1, width + 1, height + 1).scaled(across / original[0], down / original[1]),)


def _original_size(row: dict[str, str]) -> tuple[int, int]:
    width, height = (_number(row["ID"], column, row[column]) for column in ("Width", "Height"))
    return width, _HEIGHTS.get(row["ID"], height)


def _number(name: str, column: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise DatasetError(f"{name} has {column} '{text}'", expected="a whole number above 0")
    return int(text)


def _plain(name: str) -> str:
    if not re.fullmatch(r"[\w-]+", name):
        raise DatasetError(f"{TABLE} names an image '{name}'", expected="an id such as bus_0001-l")
    return name


def check(base: Path) -> Iterator[Problem]:
    """What only this layout can say: tables, images and folds that do not agree with each other."""
    rows, folds = read_rows(base / TABLE, COLUMNS), read_folds(base)
    names = [row["ID"] for row in rows]
    again = "download the release again; images and tables belong together"
    for name, times in Counter(names).items():
        if times > 1:
            yield Problem(TABLE, f"{name} in {times} rows", "one row per image", again)
    for row in rows:
        image = image_path(base, row["ID"])
        if not image.is_file():
            yield Problem(f"Images/{image.name}", f"missing, though {TABLE} has a row", "the image", again)
        elif not _same_shape(image_size(image), _original_size(row)):
            found = "{}×{} pixels".format(*image_size(image))
            expected = f"the proportions of {row['Width']}×{row['Height']} ({TABLE})"
            yield Problem(f"Images/{image.name}", found, expected, again)
    if not folds:
        yield Problem(FOLDS, "missing or empty", "the owner's folds", "copy it from the release", "warning")
    else:
        for name in sorted(set(names) ^ set(folds)):
            where, other = (FOLDS, TABLE) if name in folds else (TABLE, FOLDS)
            yield Problem(where, f"{name} is not in {other}", "the same ids in both tables", again)


def _same_shape(size: tuple[int, int], original: tuple[int, int]) -> bool:
    """Whether an image can be a scaled copy of the original: one pixel of rounding on each side."""
    scale = max(size) / max(original)
    return all(abs(side - full * scale) <= 1 for side, full in zip(size, original, strict=True))

"""What the readers share: finding a dataset's root, image sizes from headers, natural order, CSV rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from senoscope.errors import DatasetError, ImageError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".dcm"})


def find_root(root: Path, folder: str, needed: Iterable[str]) -> Path:
    """The folder that holds everything in ``needed``: ``root`` itself or ``root/folder``.

    Raises ``DatasetError`` naming what is absent.
    """
    wanted = tuple(needed)
    for candidate in (root, root / folder):
        if all((candidate / part).exists() for part in wanted):
            return candidate
    if not root.is_dir():
        raise DatasetError(
            f"there is no folder {root}", expected=f"the folder {folder} as its owner packs it"
        )
    absent = ", ".join(part for part in wanted if not (root / part).exists())
    raise DatasetError(
        f"{root} holds no {absent}",
        expected=f"the owner's layout: {folder}/ with {', '.join(wanted)}",
        fix="point at the unpacked folder itself, without renaming anything inside it",
    )


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts ``benign (2)`` before ``benign (10)``."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels from the header alone; pixels are not decoded.

    Raises ``ImageError`` for a file that is no image or claims no pixels.
    """
    try:
        # Pillow refuses absurd sizes here already; its mere warning below that limit is the reader's concern.
        with Image.open(path) as image:
            width, height = image.size
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path.name} has no readable image header: {error}", fix="copy it again") from error
    if width < 1 or height < 1:
        raise ImageError(f"{path.name} claims {width}×{height} pixels", fix="copy it again")
    return width, height


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM. Its size is not read here: that takes the safe DICOM reader."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def decode(path: Path) -> None:
    """Decode every pixel and forget it. Raises ``ImageError`` for a file that is damaged or cut short."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"its pixels cannot be decoded: {error}") from error


def read_rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Rows of an owner's CSV as text. Raises ``DatasetError`` if it lacks a column."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise DatasetError(
                f"{path.name} has no column {', '.join(absent)}",
                expected=f"columns {', '.join(columns)}",
                fix="use the file as its owner published it",
            )
        return [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]

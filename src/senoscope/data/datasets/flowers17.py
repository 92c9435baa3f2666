"""Oxford 17 Flowers: photographs, 80 of each flower (Nilsback & Zisserman 2006, 10.1109/CVPR.2006.42).

``jpg/image_0001.jpg`` … ``image_1360.jpg`` in the order of the classes, so the class follows from the number.
"""

from __future__ import annotations

import re
from pathlib import Path

from senoscope import catalog
from senoscope.data._layout import find_root
from senoscope.schema import Record

FOLDER = "17flowers"
PER_CLASS = 80
_NAME = re.compile(r"image_(\d{4})")


def read(root: Path) -> list[Record]:
    """One Record per photograph in number order; names the owner does not use are left to ``verify``."""
    base = find_root(root, FOLDER, ("jpg",))
    classes: list[str] = catalog.load("senoscope.data")["flowers17"].facts["classes"]
    return [
        Record(
            id=f"flowers17:{image.stem}",
            dataset="flowers17",
            image=image,
            modality="XC",
            label=classes[(number - 1) // PER_CLASS],
        )
        for image in sorted((base / "jpg").glob("image_*.jpg"))
        if 1 <= (number := number_of(image)) <= PER_CLASS * len(classes)
    ]


def number_of(image: Path) -> int:
    """The number in a file's name, 0 if it is not one of the owner's names."""
    match = _NAME.fullmatch(image.stem)
    return int(match[1]) if match else 0

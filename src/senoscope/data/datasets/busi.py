"""BUSI: 780 breast ultrasound images in three classes (Al-Dhabyani et al. 2020, 10.1016/j.dib.2019.104863).

``benign/``, ``malignant/`` and ``normal/`` hold ``X.png`` with ``X_mask.png`` and, for several lesions,
``X_mask_1.png``, ``X_mask_2.png``: their union is the mask. Normal images come with an empty mask file.
There are no patient ids; many pictures are near-duplicates of each other (see the frozen groups).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from senoscope.data._layout import find_root, natural_key
from senoscope.data.verify import Problem
from senoscope.schema import CLASSES, Record

FOLDER = "Dataset_BUSI_with_GT"
_MASK = re.compile(r"^(?P<stem>.+)_mask(?:_\d+)?$")
_NUMBER = re.compile(r"\((\d+)\)$")


def read(root: Path) -> list[Record]:
    """One Record per image, by class and number. An image without a mask file keeps ``masks=None``.

    Raises ``DatasetError`` if the class folders are not there.
    """
    base = find_root(root, FOLDER, CLASSES)
    return [record for label in CLASSES for record in _read_class(base / label, label)]


def _read_class(folder: Path, label: str) -> list[Record]:
    masks: dict[str, list[Path]] = {}
    images: list[Path] = []
    for path in sorted(folder.glob("*.png"), key=lambda found: natural_key(found.stem)):
        match = _MASK.match(path.stem)
        if match:
            masks.setdefault(match["stem"], []).append(path)
        else:
            images.append(path)
    return [
        Record(
            id=f"busi:{image.stem}",
            dataset="busi",
            image=image,
            modality="US",
            label=label,
            masks=tuple(masks[image.stem]) if image.stem in masks else None,
        )
        for image in images
    ]


def check(base: Path) -> Iterator[Problem]:
    """What only this layout can say: numbers that are missing from ``benign (1)`` … within a class."""
    for label in CLASSES:
        found = {
            int(match[1]) for path in base.glob(f"{label}/*.png") if (match := _NUMBER.search(path.stem))
        }
        absent = sorted(set(range(1, max(found, default=0) + 1)) - found)
        if absent:
            numbers = ", ".join(map(str, absent[:10])) + (", …" if len(absent) > 10 else "")
            yield Problem(
                f"{label}/",
                f"no image {numbers}",
                f"numbers without gaps up to {max(found)}",
                "unpack it again",
                "warning",
            )

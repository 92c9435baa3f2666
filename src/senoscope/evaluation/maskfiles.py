"""Predicted masks beside a prediction table, so that reports can draw them: ``masks/<dataset>/<id>.png``.

They are optional, and no figure is computed from them. Names are percent-encoded, because ids may hold any letter.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from senoscope._files import atomic_path
from senoscope.imaging.draw import mask_image
from senoscope.schema import BoolArray

FOLDER = "masks"


def mask_path(folder: Path, dataset: str, case: str) -> Path:
    """Where the predicted mask of a case lies; ``folder`` is the table's."""
    return folder / FOLDER / _encoded(dataset or "-") / f"{_encoded(case)}.png"


def _encoded(name: str) -> str:
    return quote(name, safe=" ()").replace(
        ".", "%2E"
    )  # no dots: a dataset named ".." must not lead elsewhere


def save_mask(folder: Path, dataset: str, case: str, mask: BoolArray) -> None:
    """Write a predicted mask, bool H×W in the original frame, as a black and white PNG."""
    with atomic_path(mask_path(folder, dataset, case)) as temporary:
        mask_image(mask).save(temporary, "png")


def load_mask(folder: Path, dataset: str, case: str, shape: tuple[int, int]) -> BoolArray | None:
    """The stored mask of a case; ``None`` if there is none, or it is not of this image's shape."""
    path = mask_path(folder, dataset, case)
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        if (picture.height, picture.width) != shape:
            return None
        return np.asarray(picture.convert("L")) > 127

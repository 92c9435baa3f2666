"""The worst cases of a table as pictures: image, true and predicted outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from senoscope.errors import SenoscopeError
from senoscope.evaluation.classification import classified
from senoscope.evaluation.maskfiles import load_mask
from senoscope.evaluation.segmentation import outlined
from senoscope.evaluation.table import Ints, PredictionTable
from senoscope.imaging.draw import gray_image, jpeg_data_uri
from senoscope.imaging.masks import mask_to_contours
from senoscope.imaging.read import read_sample
from senoscope.schema import CLASSES, BoolArray, Record

_LONGEST = 420
_CONTOUR_POINTS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One case for the report. ``image`` is a data URI; outlines are SVG path data in the ``width`` × ``height`` frame.

    ``missing`` says why there is no image, or no predicted outline.
    """

    name: str
    caption: str
    width: int = 0
    height: int = 0
    image: str | None = None
    truth: str = ""
    predicted: str = ""
    missing: str = ""


def worst_outlines(test: PredictionTable, count: int = 10) -> Ints:
    """Rows of the lesion images with the lowest Dice, worst first; of equals the larger lesion first."""
    rows = np.flatnonzero(outlined(test))
    order = np.lexsort((-test.area_true[rows], test.dice[rows]))
    return np.asarray(rows[order[:count]], dtype=np.int64)


def worst_classes(test: PredictionTable, count: int = 10) -> Ints:
    """Rows whose true class got the lowest probability, among those classified wrongly, worst first."""
    rows = np.flatnonzero(classified(test))
    rows = rows[test.probabilities[rows].argmax(axis=1) != test.label[rows]]
    told = test.probabilities[rows, test.label[rows]]
    return np.asarray(rows[np.argsort(told, kind="stable")[:count]], dtype=np.int64)


def pictures(
    test: PredictionTable, rows: Ints, records: Sequence[Record], folders: Sequence[Path]
) -> list[Picture]:
    """A picture per row. ``records`` give images and true masks, ``folders`` (the tables') the predicted masks.

    What is absent or unreadable is left out and said so; nothing here raises for a bad file.
    """
    known = {(record.dataset, record.id): record for record in records}
    return [
        _picture(test, row, known.get((test.dataset[row], test.id[row])), folders) for row in rows.tolist()
    ]


def _picture(test: PredictionTable, row: int, record: Record | None, folders: Sequence[Path]) -> Picture:
    name, caption = str(test.id[row]), _caption(test, row)
    if record is None:
        return Picture(name=name, caption=caption, missing="image not at hand")
    try:
        sample = read_sample(record)
        shape = sample.image.shape[0], sample.image.shape[1]
        stored = (load_mask(folder, str(test.dataset[row]), name, shape) for folder in folders)
        predicted = next((mask for mask in stored if mask is not None), None)
    except (SenoscopeError, OSError) as error:
        return Picture(name=name, caption=caption, missing=str(error))
    picture = gray_image(sample.image)
    picture.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return Picture(
        name=name,
        caption=caption,
        width=shape[1],
        height=shape[0],
        image=jpeg_data_uri(picture, quality=82),
        truth=_path(sample.mask),
        predicted=_path(predicted),
        missing="" if predicted is not None or np.isnan(test.area_pred[row]) else "predicted mask not stored",
    )


def _caption(test: PredictionTable, row: int) -> str:
    parts = []
    if test.label[row] >= 0:
        parts.append(f"truth {CLASSES[test.label[row]]}")
    if np.isfinite(test.probabilities[row]).all():
        chosen = int(test.probabilities[row].argmax())
        parts.append(f"predicted {CLASSES[chosen]} {test.probabilities[row, chosen]:.2f}")
    if np.isfinite(test.dice[row]):
        parts.append(f"Dice {test.dice[row]:.2f}")
    return " · ".join(parts)


def _path(mask: BoolArray | None) -> str:
    """A mask's outlines as SVG path data; contours have pixel centres at whole numbers, SVG has corners there."""
    if mask is None:
        return ""
    drawn = []
    for contour in mask_to_contours(mask):
        points = contour[:: max(1, len(contour) // _CONTOUR_POINTS)] + 0.5
        drawn.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist()) + "Z")
    return "".join(drawn)

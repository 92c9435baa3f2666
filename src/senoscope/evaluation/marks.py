"""What a system marks in an image, and which true lesion each mark hits: two cells of the prediction table.

A mark is one region that the system outlines (or boxes), with a score. The true lesions are the 4-connected
components of the true mask. Beside larger ones, specks are slips of the drawing hand and no lesions: of every sixth
lesion image of BUSI, seven had two components, and five of these a component of one or two pixels. A mark hits the
lesion with which its intersection over union is largest, if that is above 0.2, a lenient overlap that breast-mass
detection uses (Dhungel, Carneiro & Bradley 2017, doi:10.1016/j.media.2017.01.009); it hits at most one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from senoscope.schema import BoolArray

HIT_IOU = 0.2
"""A mark hits a lesion when their intersection over union is above this."""

SPECK = 16
"""Components of fewer pixels are no lesions, unless there are no larger ones."""

Mark = tuple[float, int | None]
"""Score of a mark, and the number of the lesion it hits (from 0, in reading order), ``None`` for a false one."""


class Marked(NamedTuple):
    """A region that a system outlines: bool H×W in the original frame, and its mean lesion probability."""

    mask: BoolArray
    score: float


def united(regions: Sequence[Marked], shape: tuple[int, int]) -> BoolArray:
    """All regions together, bool H×W."""
    whole = np.zeros(shape, dtype=np.bool_)
    for region in regions:
        whole |= region.mask
    return whole


def match(truth: BoolArray, regions: Sequence[Marked]) -> tuple[int, list[Mark]]:
    """The number of true lesions in a mask, and each region's score and hit."""
    labels, found = ndimage.label(truth)
    sizes = np.bincount(labels.ravel(), minlength=found + 1)[1:]
    lesions = sizes >= min(SPECK, sizes.max(initial=0))
    areas, count = sizes[lesions], int(lesions.sum())
    marks: list[Mark] = []
    for region in regions:
        common = np.bincount(labels[region.mask], minlength=found + 1)[1:][lesions]
        overlap = common / np.maximum(areas + np.count_nonzero(region.mask) - common, 1)
        best = int(overlap.argmax()) if count else 0
        marks.append((region.score, best if count and overlap[best] > HIT_IOU else None))
    return count, marks


def mark_cells(
    truth: BoolArray | None, regions: Sequence[Marked] | None, lesion_probability: float | None
) -> dict[str, int | str | None]:
    """The columns ``lesions`` and ``marks`` of a case; unknown where the truth or the regions are.

    Scores are multiplied by ``lesion_probability``, the image's P(benign) + P(malignant), where the system
    classifies: a region in an image that it calls normal is hardly a mark.
    """
    if truth is None:
        return {"lesions": None, "marks": None}
    count, marks = match(truth, regions or ())
    if regions is None:
        return {"lesions": count, "marks": None}
    factor = 1.0 if lesion_probability is None else lesion_probability
    cells = [[round(factor * score, 6), hit] for score, hit in marks]
    return {"lesions": count, "marks": json.dumps(cells)}


def parse(text: str) -> list[Mark]:
    """The marks of a cell; raises ``ValueError`` where it is not a list of [score, lesion or null]."""
    cells = json.loads(text)
    if not isinstance(cells, list):
        raise ValueError("not a list")
    marks: list[Mark] = []
    for cell in cells:
        score, hit = cell
        plain = isinstance(score, int | float) and not isinstance(score, bool) and np.isfinite(score)
        if not plain or not (
            hit is None or (isinstance(hit, int) and not isinstance(hit, bool) and hit >= 0)
        ):
            raise ValueError(f"{cell} is no mark")
        marks.append((float(score), hit))
    return marks

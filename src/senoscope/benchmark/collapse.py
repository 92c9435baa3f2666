"""Trainings that came to nothing: every image called the same class, or nothing outlined at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from senoscope.benchmark.results import Result
from senoscope.evaluation.classification import classified
from senoscope.evaluation.segmentation import outlined
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES


def collapses(results: Sequence[Result]) -> tuple[str, ...]:
    """What the trainings of one system do that makes its figures those of no system, with their number.

    Such a classifier still has an accuracy: the share of its one class.
    """
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(_found(result.table.where(result.table.test)))
    return tuple(f"{what} in {number} of {len(results)} runs" for what, number in sorted(counts.items()))


def _found(test: PredictionTable) -> list[str]:
    found = []
    rows = classified(test)
    if len(np.unique(test.label[rows])) > 1:
        chosen = np.unique(test.probabilities[rows].argmax(axis=1))
        if len(chosen) == 1:
            found.append(f"calls every image {CLASSES[chosen[0]]}")
    lesions = outlined(test)
    if lesions.any():
        if not (test.area_pred[lesions] > 0).any():
            found.append("outlines nothing")
        elif (test.area_pred[lesions] == (test.width * test.height)[lesions]).all():
            found.append("outlines every image whole")
    return found

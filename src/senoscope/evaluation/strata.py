"""Parts of the test cases for which figures are given on their own: by class, lesion size, scanner and so on."""

from __future__ import annotations

from collections import Counter

import numpy as np

from senoscope.evaluation.segmentation import size_strata
from senoscope.evaluation.table import PredictionTable, Words
from senoscope.schema import CLASSES, BoolArray


def strata(test: PredictionTable) -> dict[str, dict[str, BoolArray]]:
    """Group, then member, then which of the N cases belong to it, for groups with two filled members or more.

    A case whose value is unknown (no scanner named, its image never looked at for text) is in no member of that group.
    """
    groups = {
        "class": {name: test.label == code for code, name in enumerate(CLASSES)},
        "lesion size": size_strata(test),
        "near-duplicates": _by_duplicates(test),
        "overlay text": {"with text": _said(test, True), "without text": _said(test, False)},
        "device": _by_word(test.device),
        "BI-RADS": _by_word(test.birads),
        "dataset": _by_word(test.dataset),
    }
    filled = {
        group: {name: rows for name, rows in members.items() if rows.any()}
        for group, members in groups.items()
    }
    return {group: members for group, members in filled.items() if len(members) > 1}


def _by_duplicates(test: PredictionTable) -> dict[str, BoolArray]:
    """Cases alone in their duplicate group among the test cases, and cases with near-duplicates there."""
    keys = list(zip(test.dataset, test.group, strict=True))
    counts = Counter(key for key in keys if key[1] is not None)
    several = np.array([counts[key] > 1 for key in keys], dtype=bool)
    return {"alone": ~several, "has near-duplicates": several}


def _said(test: PredictionTable, text: bool) -> BoolArray:
    return np.array([value is text for value in test.overlay], dtype=bool)


def _by_word(words: Words) -> dict[str, BoolArray]:
    known = sorted({str(word) for word in words if word})
    return {word: np.array([value == word for value in words], dtype=bool) for word in known}

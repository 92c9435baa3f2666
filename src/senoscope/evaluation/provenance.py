"""What a reader must be told about a table before its figures: stamps (warnings) and notes."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation.table import PredictionTable


def stamps(table: PredictionTable) -> list[str]:
    """Warnings that every report of the table shows first: those it carries, and those its rows give away."""
    found = list(table.stamps)
    crossing = _spread(table.cluster[table.test], table.fold[table.test])
    if crossing:
        found.append(
            f"{crossing} patients or duplicate groups are tested in more than one fold, so each fold's model "
            "was trained on relatives of its test cases."
        )
    shared = _both_sides(table)
    if shared:
        found.append(
            f"{shared} patients or duplicate groups stand in the validation and the test cases of one fold, so "
            "thresholds and temperature were not chosen independently."
        )
    if not table.metadata.get("split_hash"):
        found.append(
            "No split file is named with these predictions: whether training saw the test cases is unknown."
        )
    return found


def notes(table: PredictionTable, temperatures: dict[int, float]) -> list[str]:
    """Remarks on how to read the figures."""
    found = [str(note) for note in table.metadata.get("notes", ())]
    folds = np.unique(table.fold[table.test])
    if len(folds) > 1:
        found.append(
            f"Figures are out-of-fold: {len(folds)} folds, each tested by a model that did not train on it, with "
            "all cases pooled; the folds' own figures stand beside."
        )
    missed = int((table.lesion & table.test & (table.area_pred == 0)).sum())
    if missed:
        found.append(
            f"HD95 is undefined for {missed} lesion images without any predicted outline; it is given without them "
            "and, to be fair to systems that dare, with the image diagonal in their place."
        )
    unlabelled = int((table.test & (table.label < 0)).sum())
    if unlabelled:
        found.append(f"{unlabelled} cases without a label count in the mask figures only.")
    if not temperatures:
        found.append(
            "No validation cases: temperature and operating points cannot be frozen, and are left out rather than "
            "chosen on the test cases."
        )
    elif set(folds.tolist()) - set(temperatures):
        left_out = ", ".join(str(fold) for fold in sorted(set(folds.tolist()) - set(temperatures)))
        found.append(f"Fold {left_out} has no validation cases; calibrated figures leave it out.")
    return found


def _spread(cluster: NDArray[np.int64], fold: NDArray[np.int64]) -> int:
    """Number of clusters that occur in more than one fold."""
    seen: dict[int, set[int]] = defaultdict(set)
    for number, where in zip(cluster.tolist(), fold.tolist(), strict=True):
        seen[number].add(where)
    return sum(len(folds) > 1 for folds in seen.values())


def _both_sides(table: PredictionTable) -> int:
    keys = list(zip(table.cluster.tolist(), table.fold.tolist(), strict=True))
    sides = [
        {key for key, test in zip(keys, table.test, strict=True) if test == side} for side in (True, False)
    ]
    return len({cluster for cluster, _ in sides[0] & sides[1]})

"""Is a system worse than the best of its table by more than chance? Paired on the cases that both tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from senoscope.benchmark.figures import LOWER
from senoscope.evaluation.classification import benign_malignant, classified
from senoscope.evaluation.delong import compare_auc
from senoscope.evaluation.paired import PairedTest, holm, permutation
from senoscope.evaluation.segmentation import outlined
from senoscope.evaluation.table import PredictionTable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Tests = Sequence[PredictionTable]
"""The test rows of one system, one table per seed."""

TESTED = ("accuracy", "balanced_accuracy", "auc_benign_malignant", "dice", "iou", "false_positive_rate")
"""Figures with a test; a calibration error has none, being no mean over cases."""

ALPHA = 0.05


@dataclass(frozen=True)
class Against:
    """One system against the best of its table in one figure; ``p_holm`` is adjusted for the table's systems."""

    best: str
    test: PairedTest
    p_holm: float | None

    @property
    def tied(self) -> bool:
        """Whether the difference may be chance."""
        return self.p_holm is None or self.p_holm >= ALPHA


def best_of(values: Mapping[str, float], figure: str) -> str:
    """The name with the best value; of equals the first by name."""
    sign = 1 if figure in LOWER else -1
    return min(sorted(values), key=lambda name: sign * values[name])


def against_best(systems: Mapping[str, Tests], best: str, figure: str) -> dict[str, Against]:
    """Every other system against ``best``; systems that share no case with it are left out.

    The family of Holm's correction is this table's comparisons in this figure.
    """
    found = {name: compare(tests, systems[best], figure) for name, tests in systems.items() if name != best}
    kept = {name: test for name, test in found.items() if test is not None}
    known = [name for name, test in kept.items() if test.p is not None]
    adjusted = dict(zip(known, holm([kept[name].p or 0.0 for name in known]), strict=True))
    return {name: Against(best, test, adjusted.get(name)) for name, test in kept.items()}


def compare(first: Tests, second: Tests, figure: str) -> PairedTest | None:
    """Two systems on the cases that all their tables hold; ``None`` where the figure is undefined on them.

    Means over cases (each case's value averaged over the seeds) by sign flips of whole clusters; the AUC (averaged
    over the seeds) by DeLong's test with clustered variance.
    """
    aligned = _aligned([*first, *second])
    if not aligned:
        return None
    ones, twos = aligned[: len(first)], aligned[len(first) :]
    cluster = twos[0].cluster
    if figure == "auc_benign_malignant":
        return _areas(ones, twos, cluster)
    rows = np.logical_and.reduce([_rows(test, figure) for test in aligned])
    if len(np.unique(cluster[rows])) < 2:
        return None
    label = twos[0].label[rows]
    one, two = (np.mean([_values(test, figure)[rows] for test in side], axis=0) for side in (ones, twos))
    if figure == "balanced_accuracy":  # weights that make its mean over cases the mean over classes
        classes, codes, counts = np.unique(label, return_inverse=True, return_counts=True)
        weight = len(label) / (len(classes) * counts[codes])
        one, two = one * weight, two * weight
    return permutation(one, two, cluster[rows], what=figure)


def _aligned(tests: Tests) -> list[PredictionTable]:
    """The tables cut to their common cases, in one order."""
    keys = [{(d, i): row for row, (d, i) in enumerate(zip(t.dataset, t.id, strict=True))} for t in tests]
    shared = sorted(set(keys[0]).intersection(*keys[1:]))
    if not shared:
        return []
    return [
        _take(test, np.array([key[case] for case in shared])) for test, key in zip(tests, keys, strict=True)
    ]


def _take(table: PredictionTable, rows: Ints) -> PredictionTable:
    return table.where(rows)  # type: ignore[arg-type]  # row numbers pick and order, as flags pick


def _areas(ones: Tests, twos: Tests, cluster: Ints) -> PairedTest | None:
    tasks = [[benign_malignant(test) for test in side] for side in (ones, twos)]
    rows = np.logical_and.reduce([task.rows for side in tasks for task in side])
    positive = tasks[0][0].positive[rows]
    if not positive.any() or positive.all():
        return None
    first, second = (np.stack([task.score[rows] for task in side]) for side in tasks)
    return compare_auc(positive, first, second, cluster[rows])


def _rows(test: PredictionTable, figure: str) -> NDArray[np.bool_]:
    if figure in ("accuracy", "balanced_accuracy"):
        return classified(test)
    if figure == "false_positive_rate":
        return np.asarray(test.clean & np.isfinite(test.area_pred), dtype=bool)
    return np.asarray(outlined(test) & np.isfinite(test.iou), dtype=bool)


def _values(test: PredictionTable, figure: str) -> Floats:
    if figure == "false_positive_rate":
        return np.asarray(test.area_pred > 0, dtype=np.float64)
    if figure in ("dice", "iou"):
        return np.asarray(getattr(test, figure), dtype=np.float64)
    return np.asarray(np.nan_to_num(test.probabilities).argmax(axis=1) == test.label, dtype=np.float64)

"""The leaderboard's figures of one system: values with clustered intervals, seeds averaged, and the same by stratum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation.bootstrap import Interval, bootstrap
from senoscope.evaluation.calibration import calibrate, calibration_error
from senoscope.evaluation.classification import classified
from senoscope.evaluation.estimator import Estimator, mean
from senoscope.evaluation.frozen import calibrated_logits, temperatures
from senoscope.evaluation.metrics import estimators
from senoscope.evaluation.segmentation import outlined
from senoscope.evaluation.strata import strata
from senoscope.evaluation.table import PredictionTable

Floats = NDArray[np.float64]

FIGURES: dict[str, str] = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc_benign_malignant": "AUC",
    "dice": "Dice",
    "iou": "IoU",
    "ece": "ECE",
    "false_positive_rate": "False positives",
}
"""Figures of the leaderboard and their column heads; definitions in docs/reference/metrics.md. The ECE is of
probabilities whose temperature was fitted on the fold's validation cases."""

LOWER = frozenset({"ece", "false_positive_rate"})
"""Figures that are better when lower."""

Strata = dict[str, dict[str, dict[str, Interval]]]
"""Group (class, lesion size, scanner, …: see ``evaluation.strata``), then member, then ``accuracy`` and ``dice``."""


@dataclass(frozen=True)
class Measured:
    """Figures over all test cases, and by stratum."""

    figures: dict[str, Interval]
    strata: Strata


def measure(tables: Sequence[PredictionTable]) -> Measured:
    """Figures of one system, given one table (its folds pooled, validation rows included) per seed.

    A value is the mean of the seeds' values. Its interval is from one bootstrap for all: a drawn cluster brings its
    cases in every seed, so the interval holds for new patients, with these trained networks. ``n`` counts cases once.
    """
    tests = [table.where(table.test) for table in tables]
    whole = stacked(tests)
    starts = np.cumsum([0, *(len(test) for test in tests)])
    parts = [_estimators(table, test) for table, test in zip(tables, tests, strict=True)]
    names = [name for name in parts[0] if all(name in part for part in parts)]
    merged = {name: _averaged([part[name] for part in parts], starts) for name in names}
    found = bootstrap(merged, whole.cluster)
    case = np.unique(
        [f"{d}\x1f{i}" for d, i in zip(whole.dataset, whole.id, strict=True)], return_inverse=True
    )[1]
    for name, estimator in merged.items():
        found[name]["n"] = len(np.unique(case[estimator.rows]))
    figures = {name: found[name] for name in FIGURES if name in found}
    found_strata: Strata = {}
    for name in names:
        if "\x1f" in name:
            group, member, figure = name.split("\x1f")
            found_strata.setdefault(group, {}).setdefault(member, {})[figure] = found[name]
    return Measured(figures, {group: members for group, members in found_strata.items() if len(members) > 1})


def stacked(tables: Sequence[PredictionTable]) -> PredictionTable:
    """Tables one below the other, a case once per table; its rows share a cluster."""
    names = [field.name for field in fields(PredictionTable) if field.name != "metadata"]
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return PredictionTable(**columns, metadata=tables[0].metadata)


def _estimators(table: PredictionTable, test: PredictionTable) -> dict[str, Estimator]:
    known = estimators(test)
    figures = {name: known[name] for name in FIGURES if name in known and name != "ece"}
    logits = calibrated_logits(table, temperatures(table))[table.test]
    rows = np.asarray(classified(test) & ~np.isnan(logits).any(axis=1), dtype=bool)
    if rows.any():
        probabilities = calibrate(np.where(rows[:, None], logits, 0.0), 1.0)
        figures["ece"] = calibration_error(probabilities, test.label, rows)
    return figures | _by_stratum(test)


def _by_stratum(test: PredictionTable) -> dict[str, Estimator]:
    """Accuracy and Dice of each stratum, named ``group␟member␟figure``; all share the whole table's draws."""
    rows, lesions = classified(test), outlined(test)
    correct = np.where(rows[:, None], test.probabilities, 0.0).argmax(axis=1) == test.label
    found = {}
    for group, members in strata(test).items():
        for member, inside in members.items():
            for figure, values, over in (("accuracy", correct, rows), ("dice", test.dice, lesions)):
                if (over & inside).any():
                    found[f"{group}\x1f{member}\x1f{figure}"] = mean(values, over & inside)
    return found


def _averaged(parts: Sequence[Estimator], starts: NDArray[np.int64]) -> Estimator:
    """The mean of one estimator per table, on the rows of the stacked tables."""
    rows = np.concatenate([part.rows + start for part, start in zip(parts, starts, strict=False)])
    borders = np.cumsum([len(part.rows) for part in parts])[:-1]

    def of(weights: Floats) -> Floats:
        pieces = np.split(weights, borders, axis=-1)
        values = [part.of(piece) for part, piece in zip(parts, pieces, strict=True)]
        return np.asarray(np.mean(values, axis=0), dtype=np.float64)

    return Estimator(rows, of, share=parts[0].share, noisy=parts[0].noisy)

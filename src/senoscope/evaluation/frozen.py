"""What is chosen on validation cases and then frozen: temperature and operating points, per fold.

A table brings its own validation rows, or says in its metadata (``frozen``) what its model had frozen before: a
bundle's card, when a shipped model is measured on data of another origin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation.bootstrap import Interval, bootstrap
from senoscope.evaluation.calibration import calibrate, fit_temperature
from senoscope.evaluation.classification import (
    MALIGNANT,
    Task,
    benign_malignant,
    classified,
    one_against_rest,
    probability_estimators,
)
from senoscope.evaluation.estimator import Estimator
from senoscope.evaluation.table import PredictionTable
from senoscope.evaluation.thresholds import TARGETS, at_thresholds, frozen_thresholds

Floats = NDArray[np.float64]

_CARD_NAMES = {"specificity_90": "threshold_spec90", "sensitivity_90": "threshold_sens90"}
_CARD_NAMES["sensitivity_95"] = "threshold_sens95"


def temperatures(table: PredictionTable) -> dict[int, float]:
    """Temperature of each fold that has validation cases, or the one that the table's metadata gives for all."""
    rows = classified(table) & ~table.test
    if rows.any():
        return {
            fold: fit_temperature(table.logits[here], table.label[here])
            for fold in np.unique(table.fold[rows]).tolist()
            for here in [rows & (table.fold == fold)]
        }
    given = _given(table).get("temperature")
    return dict.fromkeys(np.unique(table.fold).tolist(), float(given)) if given else {}


def calibrated_logits(table: PredictionTable, found: dict[int, float]) -> Floats:
    """Logits divided by their fold's temperature, NaN for a fold without one (N×3)."""
    each = np.array([found.get(fold, np.nan) for fold in table.fold.tolist()])
    return np.asarray(table.logits / each[:, None], dtype=np.float64)


def calibrated_figures(
    table: PredictionTable, found: dict[int, float], *, resamples: int, seed: int
) -> dict[str, Interval]:
    """Calibration error, Brier score and log loss of the test cases after temperature scaling."""
    logits = calibrated_logits(table, found)
    rows = table.test & classified(table) & ~np.isnan(logits).any(axis=1)
    if not rows.any():
        return {}
    kept = table.where(rows)
    figures = probability_estimators(kept, calibrate(logits[rows], 1.0))
    return bootstrap(figures, table.cluster[rows], resamples=resamples, seed=seed)


def operating_points(
    table: PredictionTable, found: dict[int, float], *, resamples: int, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Per question and target: the frozen threshold of each fold, and what it reaches on the test cases.

    Scores are calibrated. The questions are ``benign_malignant`` (among lesions) and ``malignant_rest``.
    """
    logits = calibrated_logits(table, found)
    usable = np.asarray(~np.isnan(logits).any(axis=1), dtype=bool)
    shares = calibrate(np.where(usable[:, None], logits, 0.0), 1.0)
    questions = {
        "benign_malignant": benign_malignant(table, np.where(usable[:, None], logits, 0.0)),
        "malignant_rest": one_against_rest(table, MALIGNANT, shares),
    }
    points: dict[str, dict[str, dict[str, Any]]] = {}
    for question, task in questions.items():
        for target, (kind, level) in TARGETS.items():
            thresholds = _thresholds(table, question, target, task, usable, kind, level)
            figures = _test_figures(table, task, usable, thresholds)
            if figures:
                reached = bootstrap(figures, table.cluster, resamples=resamples, seed=seed)
                points.setdefault(question, {})[target] = {
                    "thresholds": {str(fold): value for fold, value in thresholds.items()},
                    **reached,
                }
    return points


def _thresholds(
    table: PredictionTable,
    question: str,
    target: str,
    task: Task,
    usable: NDArray[np.bool_],
    kind: str,
    level: float,
) -> dict[int, float]:
    rows = task.rows & usable & ~table.test
    if rows.any():
        return frozen_thresholds(task.positive, task.score, table.fold, rows, kind, level)
    if question != "malignant_rest":  # a card's thresholds are on the probability of malignant
        return {}
    value = _given(table).get("operating_points", {}).get("malignant", {}).get(_CARD_NAMES[target])
    return {} if value is None else dict.fromkeys(np.unique(table.fold).tolist(), float(value))


def _test_figures(
    table: PredictionTable, task: Task, usable: NDArray[np.bool_], thresholds: dict[int, float]
) -> dict[str, Estimator]:
    figures = at_thresholds(
        task.positive, task.score, table.fold, task.rows & usable & table.test, thresholds
    )
    return figures if all(len(figure.rows) for figure in figures.values()) else {}


def _given(table: PredictionTable) -> dict[str, Any]:
    given = table.metadata.get("frozen")
    return given if isinstance(given, dict) else {}

"""Figures of the class probabilities: over the three classes, and for benign against malignant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from senoscope.evaluation.calibration import calibration_error
from senoscope.evaluation.estimator import Estimator, mean
from senoscope.evaluation.ranking import auc, average_precision, partial_auc
from senoscope.evaluation.recalibration import calibration_intercept, calibration_slope
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES, BoolArray

Floats = NDArray[np.float64]

NORMAL, BENIGN, MALIGNANT = range(3)


class Task(NamedTuple):
    """A two-class question: the cases it is asked of, which of them are positive, and the score (all length
    N).
    """

    rows: BoolArray
    positive: BoolArray
    score: Floats


def classified(table: PredictionTable) -> BoolArray:
    """Cases with a known label and class probabilities."""
    return np.asarray((table.label >= 0) & np.isfinite(table.probabilities).all(axis=1))


def benign_malignant(table: PredictionTable, logits: Floats | None = None) -> Task:
    """Malignant against benign among cases labelled either; the score is p_malignant / (p_benign +
    p_malignant).

    That is the logistic function of the difference of the two logits (N×3; the table's own unless given),
    which stays exact where both probabilities vanish.
    """
    logits = table.logits if logits is None else logits
    with np.errstate(invalid="ignore"):
        odds = logits[:, MALIGNANT] - logits[:, BENIGN]
    score = expit(np.where(np.isnan(odds), 0.0, odds))
    rows = classified(table) & (table.label != NORMAL)
    return Task(rows, table.label == MALIGNANT, score)


def one_against_rest(table: PredictionTable, code: int, probabilities: Floats | None = None) -> Task:
    """One class against the others among all labelled cases; the score is the class's probability."""
    scores = table.probabilities if probabilities is None else probabilities
    return Task(classified(table), table.label == code, scores[:, code])


def area_under_curve(task: Task) -> Estimator:
    """AUC of a task (see :func:`ranking.auc`)."""
    return _ranked(task, auc)


def precision_recall(task: Task) -> Estimator:
    """Average precision of a task (see :func:`ranking.average_precision`)."""
    return _ranked(task, average_precision)


def _ranked(task: Task, function: Callable[[BoolArray, Floats, Floats], Floats]) -> Estimator:
    picked = np.flatnonzero(task.rows)
    positive, score = task.positive[picked], task.score[picked]
    return Estimator(picked, lambda weights: function(positive, score, weights))


def balanced_accuracy(label: NDArray[np.int64], chosen: NDArray[np.int64], rows: BoolArray) -> Estimator:
    """Mean sensitivity over the classes that occur among ``rows``."""
    picked = np.flatnonzero(rows)
    label, correct = label[picked], (label == chosen)[picked]
    present = np.unique(label)
    under = np.stack([label == code for code in present], axis=1).astype(np.float64)
    over = under * correct[:, None]

    def of(weights: Floats) -> Floats:
        # A resample without one of the classes has no balanced accuracy.
        drawn = weights @ under
        shares = np.divide(weights @ over, drawn, out=np.full(np.shape(drawn), np.nan), where=drawn > 0)
        return np.asarray(shares.mean(axis=-1))

    return Estimator(picked, of)


def class_estimators(table: PredictionTable) -> dict[str, Estimator]:
    """Every figure of the uncalibrated class probabilities that the table's labels allow."""
    rows = classified(table)
    present = np.unique(table.label[rows]).tolist()
    if not present:
        return {}
    chosen = np.where(rows[:, None], table.probabilities, 0.0).argmax(axis=1)
    figures = {
        "accuracy": mean(chosen == table.label, rows),
        "balanced_accuracy": balanced_accuracy(table.label, chosen, rows),
    }
    for code in present:
        positive = table.label == code
        figures[f"sensitivity_{CLASSES[code]}"] = mean(chosen == code, rows & positive)
        if len(present) > 1:
            figures[f"specificity_{CLASSES[code]}"] = mean(chosen != code, rows & ~positive)
            task = one_against_rest(table, code)
            figures[f"auc_{CLASSES[code]}_rest"] = area_under_curve(task)
            figures[f"ap_{CLASSES[code]}_rest"] = precision_recall(task)
    if {BENIGN, MALIGNANT} <= set(present):
        figures |= _benign_malignant(benign_malignant(table))
    return figures | probability_estimators(table, table.probabilities)


def _benign_malignant(task: Task) -> dict[str, Estimator]:
    called = task.score >= 0.5
    return {
        "auc_benign_malignant": area_under_curve(task),
        "ap_benign_malignant": precision_recall(task),
        "pauc_specificity_80": _ranked(task, partial(partial_auc, false_positive=(0.0, 0.2))),
        "pauc_sensitivity_90": _ranked(task, partial(partial_auc, sensitivity=(0.9, 1.0))),
        "accuracy_benign_malignant": mean(called == task.positive, task.rows),
        "sensitivity_benign_malignant": mean(called, task.rows & task.positive),
        "specificity_benign_malignant": mean(~called, task.rows & ~task.positive),
    }


def probability_estimators(table: PredictionTable, probabilities: Floats) -> dict[str, Estimator]:
    """Brier score, log loss and calibration error of N×3 probabilities of the table's cases.

    The Brier score is Σ over classes of (p − y)², 0 to 2 (Brier 1950). The log loss clips p at 1e-7. With benign and
    malignant cases, also slope and intercept of p_malignant / (p_benign + p_malignant) (see ``recalibration``).
    """
    rows = classified(table)
    truth = np.eye(len(CLASSES))[np.maximum(table.label, 0)]
    squares = ((np.nan_to_num(probabilities) - truth) ** 2).sum(axis=1)
    told = np.nan_to_num(probabilities)[np.arange(len(table)), np.maximum(table.label, 0)]
    figures = {
        "brier": mean(squares, rows),
        "log_loss": mean(-np.log(np.clip(told, 1e-7, 1)), rows),
        "ece": calibration_error(probabilities, table.label, rows),
        "ece_equal_mass": calibration_error(probabilities, table.label, rows, equal_mass=True),
    }
    task = malignant_share(table, probabilities)
    if {False, True} <= set(task.positive[task.rows].tolist()):
        figures["calibration_slope"] = calibration_slope(task.positive, task.score, task.rows)
        figures["calibration_intercept"] = calibration_intercept(task.positive, task.score, task.rows)
    return figures


def malignant_share(table: PredictionTable, probabilities: Floats) -> Task:
    """As :func:`benign_malignant`, for given N×3 probabilities instead of logits; ½ where both vanish."""
    either = np.nan_to_num(probabilities[:, BENIGN] + probabilities[:, MALIGNANT])
    share = np.divide(probabilities[:, MALIGNANT], either, out=np.full(len(table), 0.5), where=either > 0)
    return Task(classified(table) & (table.label != NORMAL), table.label == MALIGNANT, share)


def confusion(table: PredictionTable) -> NDArray[np.int64]:
    """Counts of the true (rows) and the predicted (columns) class, 3×3."""
    rows = classified(table)
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(counts, (table.label[rows], table.probabilities[rows].argmax(axis=1)), 1)
    return counts

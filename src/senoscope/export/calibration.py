"""Temperature and operating points of a run that classifies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from senoscope.evaluation.calibration import calibrate, fit_temperature
from senoscope.evaluation.cases import case_row, from_rows
from senoscope.evaluation.classification import MALIGNANT, one_against_rest
from senoscope.evaluation.runs import pool
from senoscope.evaluation.thresholds import choose_threshold
from senoscope.inference.card import Calibration
from senoscope.schema import CLASSES
from senoscope.training.predict import RawPrediction

Fitted = tuple[Calibration | None, dict[str, float]]
"""Calibration and named thresholds on the calibrated probability of malignant."""

_OPERATING_POINTS = {
    "threshold_sens90": ("sensitivity", 0.90),
    "threshold_sens95": ("sensitivity", 0.95),
    "threshold_spec90": ("specificity", 0.90),
}


def fit(tables: Sequence[Path], predictions: Sequence[RawPrediction], data_hash: str) -> Fitted:
    """Fitted out-of-fold where ``tables`` are given, else on the run's validation cases (``predictions``).

    Without a labelled case there is no calibration; without malignant and other cases there are no thresholds.
    """
    if tables:
        pooled = pool(tables)
        table = pooled.where(pooled.test)
        method, digest = "temperature scaling on out-of-fold predictions", table.metadata.get("split_hash")
    else:
        table = from_rows([case_row(p.sample.record, None, None, p.logits, CLASSES) for p in predictions])
        method, digest = "temperature scaling on the run's validation cases", data_hash
    labels = table.label[table.label >= 0]
    if not len(labels):
        return None, {}
    temperature = fit_temperature(table.logits, table.label)
    task = one_against_rest(table, MALIGNANT, calibrate(table.logits, temperature))
    positive, score = task.positive[task.rows], task.score[task.rows]
    points = {}
    if positive.any() and not positive.all():
        points = {
            key: choose_threshold(positive, score, kind, level)
            for key, (kind, level) in _OPERATING_POINTS.items()
        }
    shares = {name: round(float((labels == code).mean()), 4) for code, name in enumerate(CLASSES)}
    calibration = Calibration(
        temperature=temperature, n=len(labels), split_hash=digest, method=method, prevalence=shares
    )
    return calibration, points

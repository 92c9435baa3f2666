"""Are the odds of malignant too extreme, or off on the whole: calibration slope and intercept.

With x = logit of the predicted probability, the slope b is that of the logistic regression logit P(malignant) =
a + b·x, 1 if calibrated, below 1 if predictions are too extreme; the intercept is a where b is held at 1, 0 if
calibrated, above 0 if predictions are too low on the whole (Cox 1958, doi:10.1093/biomet/45.3-4.562; Van Calster et
al. 2019, doi:10.1186/s12916-019-1466-7). Probabilities are clipped at 1e-7, as in the log loss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from senoscope.evaluation.estimator import Estimator
from senoscope.schema import BoolArray

Floats = NDArray[np.float64]

_STEPS = 40
_STEEPEST = 1e3  # a slope beyond this means that the classes are separated: there is no estimate


def calibration_slope(positive: BoolArray, probability: Floats, rows: BoolArray) -> Estimator:
    """The slope over the cases ``rows``; NaN where the classes are separated or one is absent."""
    picked = np.flatnonzero(rows)
    x, y = _inputs(positive, probability, picked)
    start = _fit(np.ones((1, len(picked))), x, y, np.array([[0.0, 1.0]]))[0] if len(picked) else np.zeros(2)

    def of(weights: Floats) -> Floats:
        flat = weights.reshape(-1, len(picked))
        begin = np.where(np.isfinite(start), start, [0.0, 1.0])
        fitted = _fit(flat, x, y, np.tile(begin, (len(flat), 1)))
        return np.asarray(fitted[:, 1].reshape(weights.shape[:-1]))

    return Estimator(picked, of)


def calibration_intercept(positive: BoolArray, probability: Floats, rows: BoolArray) -> Estimator:
    """The intercept with the slope held at 1, over the cases ``rows``; NaN where one class is absent."""
    picked = np.flatnonzero(rows)
    x, y = _inputs(positive, probability, picked)

    def of(weights: Floats) -> Floats:
        flat = weights.reshape(-1, len(picked))
        return np.asarray(_shift(flat, x, y).reshape(weights.shape[:-1]))

    return Estimator(picked, of)


def _inputs(positive: BoolArray, probability: Floats, picked: NDArray[np.intp]) -> tuple[Floats, Floats]:
    share = np.clip(probability[picked], 1e-7, 1 - 1e-7)
    return np.asarray(logit(share), dtype=np.float64), positive[picked].astype(np.float64)


def _fit(weights: Floats, x: Floats, y: Floats, start: Floats) -> Floats:
    """(intercept, slope) under each row of weights (R×N), by Newton's method; NaN where there is none."""
    beta = start.copy()
    powers = np.stack([np.ones_like(x), x, x * x], axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for _ in range(_STEPS):
            expected = expit(beta[:, :1] + beta[:, 1:] * x)
            pull = (weights * (y - expected)) @ powers[:, :2]
            curve = (weights * expected * (1 - expected)) @ powers
            determinant = curve[:, 0] * curve[:, 2] - curve[:, 1] ** 2
            step = np.empty_like(beta)
            step[:, 0] = (curve[:, 2] * pull[:, 0] - curve[:, 1] * pull[:, 1]) / determinant
            step[:, 1] = (curve[:, 0] * pull[:, 1] - curve[:, 1] * pull[:, 0]) / determinant
            beta = beta + np.clip(step, -2, 2)
            moving = np.abs(step) > 1e-9
            if not moving.any() or not np.isfinite(beta).any():
                break
    lost = moving.any(axis=1) | ~np.isfinite(beta).all(axis=1) | (np.abs(beta[:, 1]) > _STEEPEST)
    beta[lost | ~_both(weights, y)] = np.nan
    return beta


def _shift(weights: Floats, x: Floats, y: Floats) -> Floats:
    """The intercept under each row of weights, by Newton's method; NaN where one class is absent."""
    both = _both(weights, y)
    shift = np.zeros(len(weights))
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(_STEPS):
            expected = expit(shift[:, None] + x)
            step = (weights * (y - expected)).sum(-1) / (weights * expected * (1 - expected)).sum(-1)
            step = np.where(both, np.clip(step, -2, 2), 0.0)
            shift = shift + step
            if not (np.abs(step) > 1e-9).any():
                break
    return np.where(both, shift, np.nan)


def _both(weights: Floats, y: Floats) -> BoolArray:
    """Whether a weighting holds cases of both classes."""
    total = weights @ y
    return np.asarray((total > 0) & (weights.sum(-1) > total))

"""Do probabilities mean what they say: temperature scaling, expected calibration error, reliability.

One temperature T divides all logits before the softmax (Guo et al. 2017, arXiv:1706.04599, section 4.2). It
moves no case across the decision border of two classes and adds no class prior. It is fitted on validation
cases only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from senoscope.evaluation.estimator import Estimator
from senoscope.schema import BoolArray

Floats = NDArray[np.float64]

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature in 0.05..20 that minimises the negative log-likelihood of N×C logits with known labels.

    Cases without a label (negative) and cases of a class that the system does not know (logit −inf) are
    left out. Without any case, 1.
    """
    known = labels >= 0
    usable = known & np.isfinite(logits[np.arange(len(labels)), np.where(known, labels, 0)])
    if not usable.any():
        return 1.0
    logits, labels = logits[usable], labels[usable]

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits / np.exp(log_temperature), labels)

    bounds = (float(np.log(0.05)), float(np.log(20.0)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def negative_log_likelihood(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Mean −log softmax(logits)[label] over N cases, in nats."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def calibrate(logits: Floats, temperature: float | Floats) -> Floats:
    """softmax(logits / T) of N×C logits; T is one number or one per case."""
    return np.asarray(softmax(logits / np.reshape(temperature, (-1, 1)), axis=1), dtype=np.float64)


class Reliability(NamedTuple):
    """Per bin of top-class confidence: its edges, number of cases, mean confidence and accuracy (NaN if
    empty).
    """

    edges: Floats
    cases: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats


def reliability(probabilities: Floats, labels: NDArray[np.int64], bins: int = BINS) -> Reliability:
    """Reliability of N×C probabilities in equal-width bins of the top class's probability."""
    confidence, correct = _top(probabilities, labels)
    edges = np.linspace(0, 1, bins + 1)
    index = _bin(confidence, edges)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_confidence = np.bincount(index, confidence, bins) / count
        accuracy = np.bincount(index, correct, bins) / count
    return Reliability(edges, count, mean_confidence, accuracy)


def calibration_error(
    probabilities: Floats,
    labels: NDArray[np.int64],
    rows: BoolArray,
    bins: int = BINS,
    equal_mass: bool = False,
) -> Estimator:
    """Expected calibration error of the top class: Σ over bins of share × |accuracy − mean confidence|.

    Bins are ``bins`` equal widths of 0..1, closed on the right, or with ``equal_mass`` quantiles of the
    confidence (Nixon et al. 2019, arXiv:1904.01685). In the bootstrap the bins stay those of the table,
    and the draws are shifted to centre on the value, because resampling adds noise and noise adds error.
    """
    picked = np.flatnonzero(rows)
    confidence, correct = _top(probabilities[picked], labels[picked])
    edges = np.linspace(0, 1, bins + 1)
    if equal_mass and len(picked):
        edges = np.append(np.quantile(confidence, edges[:-1]), 1.0)
    gaps = np.zeros((len(picked), bins))
    gaps[np.arange(len(picked)), _bin(confidence, edges)] = confidence - correct

    def of(weights: Floats) -> Floats:
        total = weights.sum(-1)
        off = np.abs(weights @ gaps).sum(-1)
        error = np.divide(off, total, out=np.full(np.shape(off), np.nan), where=total > 0)
        return np.asarray(error, dtype=np.float64)

    return Estimator(picked, of, noisy=True)


def _top(probabilities: Floats, labels: NDArray[np.int64]) -> tuple[Floats, Floats]:
    chosen = probabilities.argmax(axis=1)
    return probabilities[np.arange(len(chosen)), chosen], (chosen == labels).astype(np.float64)


def _bin(confidence: Floats, edges: Floats) -> NDArray[np.intp]:
    """The bin (edge below, edge above] of each confidence; the first bin is closed on both sides."""
    return np.asarray(np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2))

"""How often the 95 % intervals hold the truth in simulated studies whose truth is known; writes coverage.json.

Each study has clusters of one to three images (patients, near-duplicates) that resemble each other, about as many
as one fold of BUSI. Everything comes from normal variables, half of whose variance the cluster shares, so that the
truths have closed forms: accuracy Φ(a), area under the curve Φ(δ/√2), mean Dice Φ(d / √(1 + s²)).
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from senoscope._files import write_text
from senoscope.evaluation.bootstrap import RESAMPLES, Interval, bootstrap
from senoscope.evaluation.classification import Task, area_under_curve
from senoscope.evaluation.delong import auc_interval, compare_auc
from senoscope.evaluation.estimator import mean
from senoscope.evaluation.paired import difference
from senoscope.schema import BoolArray

OUT = Path(__file__).resolve().parents[1] / "docs/results/coverage.json"
CLUSTERS = 100
SHARED = 0.5  # of the variance, by the cluster
ACCURACY = (1.175, 1.0)  # a of the first and the second system: 0.88 and 0.84
DELTA = (2.0, 1.7)  # δ: areas 0.92 and 0.89
DICE = (1.0, 0.9)  # d, with s:
DICE_SPREAD = 0.8  # mean Dice 0.78 and 0.76

Floats = NDArray[np.float64]


class Study(NamedTuple):
    """One simulated study; each array of values is 2×N, one row per system."""

    cluster: NDArray[np.int64]
    positive: BoolArray
    score: Floats
    right: BoolArray
    dice: Floats


def simulate(rng: np.random.Generator) -> Study:
    """Two systems on the same cases; four clusters of five hold one class only."""
    cluster = np.repeat(np.arange(CLUSTERS), rng.integers(1, 4, CLUSTERS))
    malignant, mixed = rng.random(CLUSTERS) < 0.4, rng.random(CLUSTERS) < 0.2
    positive = np.where(mixed[cluster], rng.random(len(cluster)) < 0.4, malignant[cluster])
    noise = [_pair(rng, cluster) for _ in range(3)]
    delta, right, dice = (np.array(pair)[:, None] for pair in (DELTA, ACCURACY, DICE))
    return Study(
        cluster,
        positive,
        delta * positive + noise[0],
        noise[1] < right,
        norm.cdf(dice + DICE_SPREAD * noise[2]),
    )


def _pair(rng: np.random.Generator, cluster: NDArray[np.int64]) -> Floats:
    """Standard normal values of two systems, alike within a cluster and (by one half) between the systems."""
    parts = []
    for _ in range(3):  # common to both systems, then each system's own
        own, shared = rng.normal(size=len(cluster)), rng.normal(size=CLUSTERS)[cluster]
        parts.append(np.sqrt(1 - SHARED) * own + np.sqrt(SHARED) * shared)
    return np.stack([parts[0] + parts[1], parts[0] + parts[2]]) / np.sqrt(2)


def truths() -> dict[str, float]:
    """The true value of every interval of :func:`intervals`."""
    area = norm.cdf(np.array(DELTA) / np.sqrt(2))
    accuracy = norm.cdf(ACCURACY)
    dice = norm.cdf(np.array(DICE) / np.sqrt(1 + DICE_SPREAD**2))
    values = {"accuracy": accuracy, "dice": dice, "auc": area, "auc_delong": area}
    found = {name: float(pair[0]) for name, pair in values.items()}
    return found | {f"{name}_difference": float(pair[0] - pair[1]) for name, pair in values.items()}


def intervals(study: Study, seed: int, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """The project's intervals of one study."""
    rows = np.ones(len(study.cluster), dtype=bool)
    pairs = {
        "accuracy": [mean(right, rows) for right in study.right],
        "dice": [mean(dice, rows) for dice in study.dice],
        "auc": [area_under_curve(Task(rows, study.positive, score)) for score in study.score],
    }
    figures = {name: pair[0] for name, pair in pairs.items()}
    found = bootstrap(figures, study.cluster, resamples=resamples, seed=seed)
    apart = {f"{name}_difference": difference(*pair) for name, pair in pairs.items()}
    found |= bootstrap(apart, study.cluster, resamples=resamples, seed=seed, corrected=False)
    found["auc_delong"] = auc_interval(study.positive, study.score[0], study.cluster)
    test = compare_auc(study.positive, *study.score, study.cluster)
    found["auc_delong_difference"] = Interval(value=test.difference, low=test.low, high=test.high, n=test.n)
    return found


def coverage(studies: int, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, dict[str, float]]:
    """Per interval: its truth, the share of studies whose interval holds it (with 95 % limits), and its mean width."""
    rng, expected = np.random.default_rng(seed), truths()
    held: dict[str, list[bool]] = {name: [] for name in expected}
    width: dict[str, list[float]] = {name: [] for name in expected}
    for number in range(studies):
        for name, interval in intervals(simulate(rng), number, resamples).items():
            low, high = interval["low"], interval["high"]
            if low is None or high is None:
                continue
            held[name].append(low <= expected[name] <= high)
            width[name].append(high - low)
    return {name: _row(expected[name], held[name], width[name]) for name in expected}


def _row(truth: float, held: list[bool], width: list[float]) -> dict[str, float]:
    limits = binomtest(sum(held), len(held)).proportion_ci(method="wilson")
    return {
        "truth": round(truth, 4),
        "value": round(sum(held) / len(held), 4),
        "low": round(float(limits.low), 4),
        "high": round(float(limits.high), 4),
        "n": len(held),
        "mean_width": round(float(np.mean(width)), 4),
    }


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    start = time.perf_counter()
    result = {
        "coverage": coverage(count),
        "how": f"{count} simulated studies of {CLUSTERS} clusters of 1 to 3 images, {SHARED:.0%} of the variance "
        f"shared in a cluster; {RESAMPLES} resamples; the share of 95 % intervals that hold the truth",
        "seconds": round(time.perf_counter() - start, 1),
        "machine": {"cpu": platform.machine(), "cpu_count": os.cpu_count(), "numpy": np.__version__},
    }
    write_text(OUT, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))

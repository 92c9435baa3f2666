"""The arithmetic of robustness: figures per condition, and corruption errors against the same model's clean error.

Hendrycks & Dietterich (2019, arXiv:1903.12261, section 4.2) define for a classifier f, a corruption c and errors E

    CE = Σₛ E(f, s, c) / Σₛ E(AlexNet, s, c),   relative CE = Σₛ [E(f, s, c) − E(f, clean)] / Σₛ [the same of AlexNet],

and MedMNIST-C (Di Salvo et al. 2024, arXiv:2406.17536) the same with the balanced error 1 − balanced accuracy. There is
no AlexNet for breast ultrasound outlines, so the reference here is the same model's clean error:

    increase(c) = meanₛ E(s, c) − E(clean),   ratio(c) = meanₛ E(s, c) / E(clean) = 1 + increase(c) / E(clean).

``increase`` is the numerator of the relative CE per severity, in points of error; ``ratio`` is 1 for a corruption that
does no harm. Averages over corruptions weigh each corruption alike, however many severities it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from senoscope import __version__
from senoscope.evaluation.bootstrap import RESAMPLES, bootstrap
from senoscope.evaluation.conditions import CLEAN, Condition, Tables
from senoscope.evaluation.estimator import Estimator, Floats
from senoscope.evaluation.metrics import estimators
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import RESEARCH_USE

FIGURES = ("accuracy", "balanced_accuracy", "auc_benign_malignant", "dice", "ece")
"""Figures of every condition, where they are defined."""

ERRORS = {
    "balanced_accuracy": "Balanced error",
    "auc_benign_malignant": "1 − AUC, benign against malignant",
    "dice": "1 − Dice",
}
"""Figures whose shortfall from 1 is an error, and what that error is called."""


def summarise(tables: Tables, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Figures with clustered 95 % intervals per condition, errors per corruption and on average; JSON-able.

    ``errors`` compare the cases that every condition has, the same resamples for clean and corrupted.
    """
    clean = tables[CLEAN]
    found = {condition: _figures(table, resamples, seed) for condition, table in tables.items()}
    shared = align(tables)
    return {
        "system": clean.metadata.get("system"),
        "weights": clean.metadata.get("weights"),
        "split": {"name": clean.metadata.get("split"), "hash": clean.metadata.get("split_hash")},
        "stamps": _stamps(tables),
        "cases": {
            "test": len(clean),
            "compared": len(shared[CLEAN]),
            "clusters": len(np.unique(clean.cluster)),
        },
        "clean": found[CLEAN],
        "corruptions": _by_name(found, attack=False),
        "attacks": _by_name(found, attack=True),
        "errors": errors(shared, resamples=resamples, seed=seed),
        "method": {
            "interval": "95 % bootstrap (BCa, Student's t) of clusters (duplicate group, else patient, else case)",
            "paired": "increases and ratios draw clean and corrupted answers together, without BCa",
            "resamples": resamples,
            "reference": "the same model's clean error",
            "senoscope": __version__,
        },
        "research_use": RESEARCH_USE,
    }


def align(tables: Tables) -> Tables:
    """The tables with the cases that all of them have, in the first's order."""
    keys = {c: list(zip(t.dataset.tolist(), t.id.tolist(), strict=True)) for c, t in tables.items()}
    common = set.intersection(*map(set, keys.values()))
    order = [key for key in keys[CLEAN] if key in common]
    aligned: Tables = {}
    for condition, table in tables.items():
        place = {key: row for row, key in enumerate(keys[condition])}
        rows = np.array([place[key] for key in order], dtype=np.int64)
        columns = [name for name in table.__dataclass_fields__ if name != "metadata"]
        aligned[condition] = replace(table, **{name: getattr(table, name)[rows] for name in columns})
    return aligned


def errors(tables: Tables, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """By figure of :data:`ERRORS`: the clean error, and ``increase`` and ``ratio`` per corruption and on average.

    ``tables`` hold the same cases in the same order. Leaves are intervals; ``clean`` is a number.
    """
    each = {condition: estimators(table) for condition, table in tables.items()}
    names = list(dict.fromkeys(c.name for c in tables if not c.plain))
    found: dict[str, Any] = {}
    for figure in ERRORS:
        if not names or any(figure not in each[c] for c in tables if not c.attack):
            continue
        reference = each[CLEAN][figure]
        parts = {n: [each[c][figure] for c in tables if c.name == n and not c.plain] for n in names}
        wanted: dict[str, Estimator] = {}
        for name, group in [*((n, [p]) for n, p in parts.items()), ("mean", list(parts.values()))]:
            for kind in ("increase", "ratio"):
                wanted[f"{name} {kind}"] = corruption_error(reference, group, len(tables[CLEAN]), kind)
        # Clean and corrupted answers of one case belong together, and their skewness cancels.
        intervals = bootstrap(wanted, tables[CLEAN].cluster, resamples=resamples, seed=seed, corrected=False)
        found[figure] = {
            "clean": 1 - reference.value,
            "corruptions": {n: {k: intervals[f"{n} {k}"] for k in ("increase", "ratio")} for n in names},
            "mean": {kind: intervals[f"mean {kind}"] for kind in ("increase", "ratio")},
        }
    return found


def corruption_error(
    clean: Estimator, corrupted: Sequence[Sequence[Estimator]], cases: int, kind: str
) -> Estimator:
    """``increase`` or ``ratio`` of the error 1 − figure, averaged over severities, then over corruptions.

    ``corrupted`` holds the figure's estimators per corruption and severity; all are about the same N = ``cases``.
    """

    def error(estimator: Estimator, weights: Floats) -> Floats:
        return 1 - estimator.of(weights[..., estimator.rows])

    def of(weights: Floats) -> Floats:
        means = [np.mean([error(severity, weights) for severity in part], axis=0) for part in corrupted]
        reference, average = error(clean, weights), np.mean(means, axis=0)
        if kind == "increase":
            return np.asarray(average - reference)
        undefined = np.full(np.shape(average), np.nan)
        return np.asarray(np.divide(average, reference, out=undefined, where=reference > 0))

    return Estimator(np.arange(cases), of)


def _figures(table: PredictionTable, resamples: int, seed: int) -> dict[str, Any]:
    found = estimators(table)
    chosen = {name: found[name] for name in FIGURES if name in found}
    return dict(bootstrap(chosen, table.cluster, resamples=resamples, seed=seed))


def _by_name(found: Mapping[Condition, Any], *, attack: bool) -> dict[str, dict[str, Any]]:
    chosen = [c for c in found if c != CLEAN and c.attack == attack]
    return {
        name: {str(c.level): found[c] for c in chosen if c.name == name}
        for name in dict.fromkeys(c.name for c in chosen)
    }


def _stamps(tables: Tables) -> list[str]:
    stamps = list(tables[CLEAN].stamps)
    failed = {c.key: len(t.metadata.get("failures", ())) for c, t in tables.items()}
    told = [f"{key} {count}" for key, count in failed.items() if count]
    if told:
        stamps.append(f"Images that could not be analysed and are missing: {', '.join(told)}.")
    return stamps

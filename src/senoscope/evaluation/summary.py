"""From a prediction table to one JSON-able summary: every figure with its interval, n, split and stamps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from senoscope import __version__
from senoscope._files import write_text
from senoscope.errors import TableError
from senoscope.evaluation import frozen
from senoscope.evaluation.bootstrap import RESAMPLES, bootstrap
from senoscope.evaluation.calibration import BINS
from senoscope.evaluation.classification import benign_malignant
from senoscope.evaluation.decision import net_benefit
from senoscope.evaluation.metrics import estimators, point_estimates
from senoscope.evaluation.provenance import notes, stamps
from senoscope.evaluation.strata import strata
from senoscope.evaluation.surfaces import TOLERANCE_PX
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES, RESEARCH_USE

STRATUM_FIGURES = ("accuracy", "auc_benign_malignant", "dice", "nsd", "missed", "false_positive_rate")
"""Figures given for each stratum, where they are defined."""

Summary = dict[str, Any]


def summarise(table: PredictionTable, *, resamples: int = RESAMPLES, seed: int = 0) -> Summary:
    """Every figure of a table's test cases; out-of-fold pooled, per fold, and by stratum.

    Leaves of ``figures``, ``calibrated``, ``operating_points`` and ``strata`` are
    ``{"value", "low", "high", "n"}`` with 95 % intervals clustered by patient or duplicate group; the keys are
    those of :data:`metrics.TITLES`. Raises :class:`TableError` for a table without test rows.
    """
    if not table.test.any():
        raise TableError(
            "the prediction table has validation rows only", expected="rows whose split is 'test'"
        )
    test, cluster = table.where(table.test), table.cluster[table.test]
    found = frozen.temperatures(table)
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    return {
        "system": table.metadata.get("system"),
        "split": {"name": table.metadata.get("split"), "hash": table.metadata.get("split_hash")},
        "stamps": stamps(table),
        "notes": notes(table, found),
        "cases": _cases(table),
        "figures": bootstrap(estimators(test), cluster, **options),
        "folds": _folds(test),
        "temperature": {str(fold): value for fold, value in found.items()},
        "calibrated": frozen.calibrated_figures(table, found, **options),
        "operating_points": frozen.operating_points(table, found, **options),
        "decision": decision(table, found),
        "strata": _strata(test, cluster, options),
        "method": _method(resamples, seed),
        "machine": table.metadata.get("machine"),
        "research_use": RESEARCH_USE,
    }


def write_summary(summary: Summary, path: Path) -> None:
    """Write a summary as JSON."""
    write_text(path, json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _cases(table: PredictionTable) -> dict[str, Any]:
    test = table.where(table.test)
    datasets, counts = np.unique(test.dataset.astype(str), return_counts=True)
    return {
        "test": len(test),
        "validation": int((~table.test).sum()),
        "clusters": len(np.unique(table.cluster[table.test])),
        "labels": {name: int((test.label == code).sum()) for code, name in enumerate(CLASSES)},
        "unlabelled": int((test.label < 0).sum()),
        "with_lesion_mask": int(test.lesion.sum()),
        "without_lesion": int(test.clean.sum()),
        "folds": np.unique(test.fold).tolist(),
        "datasets": dict(zip(datasets.tolist(), counts.tolist(), strict=True)),
    }


def decision(table: PredictionTable, temperatures: dict[int, float]) -> dict[str, Any]:
    """Net benefit of acting on malignant among benign and malignant test cases; empty where there are not both.

    The probability is calibrated where every fold has a temperature, else as predicted.
    """
    logits = frozen.calibrated_logits(table, temperatures)
    task = benign_malignant(table)
    rows = task.rows & table.test
    calibrated = bool(temperatures) and not np.isnan(logits[rows]).any()
    if calibrated:
        task = benign_malignant(table, logits)
    positive = task.positive[rows]
    if not positive.any() or positive.all():
        return {}
    curve = net_benefit(positive, task.score[rows])
    found = {name: [round(float(v), 6) for v in values] for name, values in curve._asdict().items()}
    return {"calibrated": calibrated, "prevalence": float(positive.mean()), "n": int(rows.sum()), **found}


def _folds(test: PredictionTable) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation (n − 1) of each figure over the folds, with the folds' own values."""
    numbers = np.unique(test.fold).tolist()
    if len(numbers) < 2:
        return {}
    each = {number: point_estimates(test.where(test.fold == number)) for number in numbers}
    table: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for figures in each.values() for name in figures):
        values = {str(n): each[n][name] for n in numbers if np.isfinite(each[n].get(name, np.nan))}
        if len(values) > 1:
            spread = list(values.values())
            table[name] = {
                "mean": float(np.mean(spread)),
                "sd": float(np.std(spread, ddof=1)),
                "values": values,
            }
    return table


def _strata(test: PredictionTable, cluster: Any, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        group: {name: _stratum(test.where(rows), cluster[rows], options) for name, rows in members.items()}
        for group, members in strata(test).items()
    }


def _stratum(part: PredictionTable, cluster: Any, options: dict[str, Any]) -> dict[str, Any]:
    figures = estimators(part)
    return dict(
        bootstrap({name: figures[name] for name in STRATUM_FIGURES if name in figures}, cluster, **options)
    )


def _method(resamples: int, seed: int) -> dict[str, Any]:
    return {
        "interval": "95 % bootstrap (BCa, Student's t) of clusters (duplicate group, else patient, else case)",
        "resamples": resamples,
        "seed": seed,
        "calibration_bins": f"{BINS} of equal width over the top class's probability",
        "nsd_tolerance_px": TOLERANCE_PX,
        "thresholds": "frozen on the validation cases of each fold, on calibrated scores",
        "senoscope": __version__,
    }

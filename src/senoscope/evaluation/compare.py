"""Is one system better than another on the same cases? Accuracy, AUC and Dice, with intervals and adjusted p."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from senoscope import __version__
from senoscope._files import write_text
from senoscope.errors import UsageError
from senoscope.evaluation.bootstrap import RESAMPLES
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.classification import benign_malignant, classified
from senoscope.evaluation.delong import compare_auc
from senoscope.evaluation.estimator import mean
from senoscope.evaluation.paired import (
    FLIPS,
    PairedTest,
    holm,
    mcnemar,
    paired_difference,
    permutation,
    wilcoxon,
)
from senoscope.evaluation.pairing import pair
from senoscope.evaluation.provenance import stamps
from senoscope.evaluation.runs import predict_run
from senoscope.evaluation.segmentation import outlined
from senoscope.evaluation.table import Ints, PredictionTable
from senoscope.schema import RESEARCH_USE, BoolArray

TABLE = "predictions.parquet"

Comparison = dict[str, Any]
"""What :func:`compare_tables` found, ready for JSON."""

_BOOTSTRAP = "clustered bootstrap, the same draws for both"


def compare(
    first: str | Path, second: str | Path, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare two prediction tables (.parquet, .csv) or runs; a run is predicted first unless its table is there.

    Raises :class:`UsageError` for what is neither, and what :func:`compare_tables` raises.
    """
    names = str(first), str(second)
    return compare_tables(load(first), load(second), names, resamples=resamples, seed=seed)


def load(target: str | Path) -> PredictionTable:
    """The prediction table of a file, of a folder that holds one, or of a run."""
    path = Path(target)
    if path.suffix.lower() in {".parquet", ".csv"}:
        return read_table(path)
    if (path / TABLE).is_file():
        return read_table(path / TABLE)
    if (path / "manifest.json").is_file():
        return read_table(predict_run(path))
    raise UsageError(
        f"'{target}' is neither a table nor a run",
        expected=f"a .parquet or .csv table, a run, or a folder that holds {TABLE}",
        fix="make a bundle's table first: senoscope evaluate BUNDLE --data DATASET --out FOLDER",
    )


def compare_tables(
    first: PredictionTable,
    second: PredictionTable,
    names: tuple[str, str] = ("first", "second"),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Differences (first − second) of accuracy, AUC benign–malignant and Dice, where both systems give them.

    Each figure has one or two tests of the same hypothesis; its p is the largest of them, so that it needs no choice
    among them, and ``p_holm`` is that p adjusted for the number of figures (Holm 1979). Raises :class:`TableError`
    where the tables cannot be compared (see ``pairing``), :class:`UsageError` where they share no figure.
    """
    marks = [stamps(table) for table in (first, second)]
    one, two = pair(first, second, names)
    cluster = one.cluster
    options = {"resamples": resamples, "seed": seed}
    found = {
        "accuracy": _accuracy(one, two, cluster, options),
        "auc_benign_malignant": _auc(one, two, cluster),
        "dice": _dice(one, two, cluster, options),
    }
    figures = {name: figure for name, figure in found.items() if figure is not None}
    if not figures:
        raise UsageError(
            f"{names[0]} and {names[1]} share no figure to compare",
            expected="two systems that both classify, or both outline, cases whose truth is known",
        )
    _adjust(figures)
    sides = [_side(*side) for side in zip(names, (first, second), marks, strict=True)]
    return {
        "first": sides[0],
        "second": sides[1],
        "cases": len(one),
        "clusters": len(np.unique(cluster)),
        "figures": figures,
        "method": _method(resamples, seed),
        "research_use": RESEARCH_USE,
    }


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write a comparison as JSON."""
    write_text(path, json.dumps(comparison, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _accuracy(
    one: PredictionTable, two: PredictionTable, cluster: Ints, options: Mapping[str, int]
) -> dict[str, Any] | None:
    rows = classified(one) & classified(two)
    if not rows.any():
        return None
    right = [np.nan_to_num(table.probabilities).argmax(axis=1) == one.label for table in (one, two)]
    interval = paired_difference(mean(right[0], rows), mean(right[1], rows), cluster, **options)
    tests = [
        mcnemar(right[0][rows], right[1][rows], mid_p=True),
        permutation(right[0][rows], right[1][rows], cluster[rows], what="accuracy", seed=options["seed"]),
    ]
    return _figure(tests, interval["low"], interval["high"], _BOOTSTRAP)


def _auc(one: PredictionTable, two: PredictionTable, cluster: Ints) -> dict[str, Any] | None:
    tasks = benign_malignant(one), benign_malignant(two)
    rows = tasks[0].rows & tasks[1].rows
    positive: BoolArray = tasks[0].positive[rows]
    if not positive.any() or positive.all():
        return None
    test = compare_auc(positive, tasks[0].score[rows], tasks[1].score[rows], cluster[rows])
    return _figure([test], test.low, test.high, test.method)


def _dice(
    one: PredictionTable, two: PredictionTable, cluster: Ints, options: Mapping[str, int]
) -> dict[str, Any] | None:
    rows = outlined(one) & outlined(two)
    if not rows.any():
        return None
    interval = paired_difference(mean(one.dice, rows), mean(two.dice, rows), cluster, **options)
    tests = [
        wilcoxon(one.dice[rows], two.dice[rows], cluster[rows]),
        permutation(one.dice[rows], two.dice[rows], cluster[rows], seed=options["seed"]),
    ]
    return _figure(tests, interval["low"], interval["high"], _BOOTSTRAP)


def _figure(tests: list[PairedTest], low: float | None, high: float | None, interval: str) -> dict[str, Any]:
    told, p_values = tests[0], [test.p for test in tests]
    return {
        "first": told.first,
        "second": told.second,
        "difference": told.difference,
        "low": low,
        "high": high,
        "n": told.n,
        "interval": interval,
        "tests": [{"method": test.method, "statistic": test.statistic, "p": test.p} for test in tests],
        "p": None if None in p_values else max(p for p in p_values if p is not None),
    }


def _adjust(figures: dict[str, dict[str, Any]]) -> None:
    known = [name for name, figure in figures.items() if figure["p"] is not None]
    adjusted = dict(zip(known, holm([figures[name]["p"] for name in known]), strict=True))
    for name, figure in figures.items():
        figure["p_holm"] = adjusted.get(name)


def _side(name: str, table: PredictionTable, marks: list[str]) -> dict[str, Any]:
    split = {"name": table.metadata.get("split"), "hash": table.metadata.get("split_hash")}
    return {"name": name, "system": table.metadata.get("system"), "split": split, "stamps": marks}


def _method(resamples: int, seed: int) -> dict[str, Any]:
    return {
        "difference": "first − second, over the cases that both systems answer",
        "clusters": "duplicate group, else patient, else case",
        "resamples": resamples,
        "flips": FLIPS,
        "seed": seed,
        "p": "the largest of a figure's tests, two-sided; p_holm adjusts it for the number of figures (Holm 1979)",
        "senoscope": __version__,
    }

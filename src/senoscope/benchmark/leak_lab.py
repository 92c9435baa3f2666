"""The leak laboratory: how the same system's accuracy grows as leaks are let in, one after another.

Every step is a protocol of its own but one: thresholds chosen on the test cases change no training and are computed
from the step before. What a system's public code does stands last, where its row says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from senoscope._files import atomic_path, write_text
from senoscope.benchmark.results import Result, pooled
from senoscope.errors import TableError
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.classification import classified
from senoscope.evaluation.estimator import mean
from senoscope.evaluation.table import PredictionTable

STEPS: dict[str, str] = {
    "grouped-5fold": "honest",
    "random-split": "+ duplicates\nacross the split",
    "leaky-random-split": "+ best epoch\non the test images",
    "leaky-mask-given": "+ mask given",
}
"""The protocols, each leaking what the one before does and one thing more, as the figure names them."""

THRESHOLD = "+ thresholds\non the test images"
PUBLISHED = ("as-published", "as published:\ntested on what it\nwas trained on")
"""Not a step further but a place of its own: what the public code of a few systems does."""
_ROUNDS = 20

Floats = NDArray[np.float64]


def leak_steps(results: Iterable[Result]) -> dict[str, list[dict[str, Any]]]:
    """Per system: its steps in order, each with accuracy, 95 % interval and n. A step without results is left out.

    Raises ``TableError`` if there is none at all, or where results of several datasets lie together.
    """
    grouped: dict[str, dict[str, list[Result]]] = {}
    datasets = set()
    for result in results:
        if result.job.protocol in (*STEPS, PUBLISHED[0]) and classified(result.table).any():
            datasets.add(result.job.dataset)
            grouped.setdefault(result.job.label, {}).setdefault(result.job.protocol, []).append(result)
    if len(datasets) != 1:
        raise TableError(
            f"the laboratory's results are of {', '.join(sorted(datasets)) or 'no dataset'}",
            expected="classifiers tested on one dataset",
        )
    return {label: _of_one(found) for label, found in sorted(grouped.items())}


def _of_one(found: dict[str, list[Result]]) -> list[dict[str, Any]]:
    tables = {
        protocol: _classified(found[protocol]) for protocol in (*STEPS, PUBLISHED[0]) if protocol in found
    }
    steps = [_step(STEPS[name], name, table, table.logits) for name, table in tables.items() if name in STEPS]
    leaky = [table for name, table in tables.items() if name in STEPS and name != "grouped-5fold"]
    if leaky:
        steps.append(_step(THRESHOLD, "", leaky[-1], tuned_on_test(leaky[-1])))
    if PUBLISHED[0] in tables:
        table = tables[PUBLISHED[0]]
        steps.append(_step(PUBLISHED[1], PUBLISHED[0], table, table.logits))
    return steps


def _classified(results: list[Result]) -> PredictionTable:
    """The classified test cases of all folds, of the first seed that there is."""
    seed = min(result.job.seed for result in results)
    table = pooled([result for result in results if result.job.seed == seed])
    return table.where(table.test & classified(table) & (table.label >= 0))


def _step(title: str, protocol: str, table: PredictionTable, scores: Floats) -> dict[str, Any]:
    right = scores.argmax(axis=1) == table.label
    figure = bootstrap({"accuracy": mean(right, np.ones(len(table), dtype=bool))}, table.cluster)["accuracy"]
    return {"step": title.replace("\n", " "), "protocol": protocol, "accuracy": figure}


def tuned_on_test(table: PredictionTable) -> Floats:
    """Logits (N×C) plus the offset per class that makes the accuracy on these very cases highest.

    Coordinate ascent over every offset at which a decision changes; what a paper does that picks its thresholds on the
    test ROC curve.
    """
    scores = np.where(np.isfinite(table.logits), table.logits, -1e9)
    rows = np.arange(len(scores))
    for _ in range(_ROUNDS):
        before = (scores.argmax(axis=1) == table.label).sum()
        for column in range(scores.shape[1]):
            others = np.delete(scores, column, axis=1).max(axis=1)
            borders = np.unique(others - scores[:, column])
            middles = np.concatenate([[0.0], (borders[1:] + borders[:-1]) / 2, borders[-1:] + 1e-6])
            shifted = np.repeat(scores[None], len(middles), axis=0)
            shifted[:, :, column] += middles[:, None]
            right = (shifted.argmax(axis=2) == table.label[rows]).sum(axis=1)
            scores[:, column] += middles[right.argmax()]
        if (scores.argmax(axis=1) == table.label).sum() == before:
            break
    return scores


def write_lab(systems: dict[str, list[dict[str, Any]]], folder: Path) -> None:
    """Write ``leak-lab.json`` and the figure, ``leak-lab.svg``."""
    content = {
        "command": "senoscope benchmark leak-lab",
        "interval": "95 % percentile bootstrap of patients and duplicate groups",
        "systems": systems,
    }
    write_text(folder / "leak-lab.json", json.dumps(content, indent=2) + "\n")
    with atomic_path(folder / "leak-lab.svg") as temporary:
        _draw(systems, temporary)


def _draw(systems: dict[str, list[dict[str, Any]]], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    titles = {title.replace("\n", " "): title for title in (*STEPS.values(), THRESHOLD, PUBLISHED[1])}
    place = {title: x for x, title in enumerate(titles)}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "senoscope", "font.size": 10}):
        figure = Figure(figsize=(9.4, 4.4), layout="constrained", facecolor="white")
        axes = figure.subplots()
        marks = zip("os^Dv", ("#c24a0c", "#1668b8", "#16796a", "#6a4c93", "#566374"), strict=True)
        for shift, ((label, steps), (mark, colour)) in enumerate(zip(systems.items(), marks, strict=False)):
            x = np.array([place[step["step"]] for step in steps]) + 0.06 * (shift - (len(systems) - 1) / 2)
            y = np.array([step["accuracy"]["value"] for step in steps])
            ends = np.array([[step["accuracy"]["low"], step["accuracy"]["high"]] for step in steps]).T
            axes.errorbar(x, y, np.abs(ends - y), marker=mark, color=colour, capsize=3, label=label)
        axes.set_xticks(range(len(titles)), list(titles.values()))
        axes.set_ylabel("accuracy, three classes")
        axes.set_ylim(None, 1.0)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})

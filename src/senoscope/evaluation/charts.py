"""The report's charts: ROC, decision curve, FROC, reliability, confusion, Dice by size. Each returns inline SVG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation.calibration import Reliability, calibrate, reliability
from senoscope.evaluation.classification import Task, benign_malignant, classified, confusion
from senoscope.evaluation.froc import froc_curve, marked, responses_of
from senoscope.evaluation.frozen import calibrated_logits
from senoscope.evaluation.ranking import roc_curve
from senoscope.evaluation.segmentation import SIZE_BINS, lesion_share, outlined, size_strata
from senoscope.evaluation.svg import INK, drawing
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES

_MOST_POINTS = 1500
_MARKERS = {"normal": "s", "benign": "o", "malignant": "^"}


def roc_chart(test: PredictionTable, points: Mapping[str, Any]) -> str | None:
    """ROC of benign against malignant: pooled, each fold thin, frozen operating points with their intervals."""
    task = benign_malignant(test)
    if not _both(task):
        return None
    with drawing() as sheet:
        axes = sheet.axes
        axes.plot([0, 1], [0, 1], color=INK["soft"], linewidth=0.8, linestyle=(0, (2, 3)))
        folds = np.unique(test.fold[task.rows])
        for fold in folds if len(folds) > 1 else ():
            part = Task(task.rows & (test.fold == fold), task.positive, task.score)
            if _both(part):
                curve = _curve(part)
                axes.plot(curve[0], curve[1], color=INK["accent"], linewidth=0.8, alpha=0.35)
        false, true = _curve(task)
        axes.plot(false, true, color=INK["accent"], linewidth=2, label="all folds pooled")
        for name, point in points.get("benign_malignant", {}).items():
            _operating_point(axes, name, point)
        axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="1 − specificity", ylabel="sensitivity")
        axes.set_aspect("equal")
        axes.legend(loc="lower right")
    return sheet.svg


def _operating_point(axes: Any, name: str, point: Mapping[str, Any]) -> None:
    sensitivity, specificity = point["sensitivity"], point["specificity"]
    if None in (sensitivity["low"], specificity["low"]):
        return
    kind, level = name.split("_")
    marker = {"specificity_90": "D", "sensitivity_90": "o", "sensitivity_95": "s"}[name]
    axes.errorbar(
        1 - specificity["value"],
        sensitivity["value"],
        xerr=[[specificity["high"] - specificity["value"]], [specificity["value"] - specificity["low"]]],
        yerr=[[sensitivity["value"] - sensitivity["low"]], [sensitivity["high"] - sensitivity["value"]]],
        color=INK["malignant"], marker=marker, markersize=5.5, linewidth=1.2, linestyle="none",
        label=f"{level} % {kind} on validation",
    )  # fmt: skip


def _both(task: Task) -> bool:
    picked = task.positive[task.rows]
    return bool(picked.any() and not picked.all())


def _curve(task: Task) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    curve = roc_curve(task.positive[task.rows], task.score[task.rows])
    return curve.false_positive, curve.true_positive


def decision_chart(decision: Mapping[str, Any]) -> str | None:
    """Net benefit of the model, of acting on all and on none, over the threshold (see ``decision``)."""
    if not decision:
        return None
    with drawing() as sheet:
        axes = sheet.axes
        axes.axhline(0, color=INK["text"], linewidth=1.2, linestyle=(0, (2, 3)), label="act on none")
        axes.plot(
            decision["threshold"], decision["treat_all"], color=INK["soft"], linewidth=1.4, label="act on all"
        )
        axes.plot(decision["threshold"], decision["model"], color=INK["accent"], linewidth=2, label="model")
        top = max(decision["prevalence"] * 1.08, 0.05)
        axes.set(xlim=(0, 1), ylim=(-0.25 * top, top), xlabel="threshold for malignant", ylabel="net benefit")
        axes.legend(loc="upper right")
    return sheet.svg


def froc_chart(test: PredictionTable) -> str | None:
    """Lesions found against false marks per image as the threshold falls (see ``froc``)."""
    rows = np.flatnonzero(marked(test))
    if not len(rows) or not (test.lesions[rows] > 0).any():
        return None
    curve = froc_curve(responses_of(test, rows))
    with drawing() as sheet:
        axes = sheet.axes
        reach = max(float(curve.false_per_image[-1]) * 1.05, 0.1)
        x = np.append(curve.false_per_image, reach)
        y = np.append(curve.sensitivity, curve.sensitivity[-1])
        axes.step(x, y, where="post", color=INK["accent"], linewidth=2)
        axes.set(xlim=(0, reach), ylim=(0, 1.01), xlabel="false marks per image", ylabel="lesions found")
    return sheet.svg


def reliability_chart(table: PredictionTable, temperatures: Mapping[int, float]) -> str | None:
    """Accuracy against confidence before and after temperature scaling, with the cases per bin below."""
    rows = classified(table) & table.test
    if not rows.any():
        return None
    before = reliability(table.probabilities[rows], table.label[rows])
    logits = calibrated_logits(table, dict(temperatures))
    scaled = rows & ~np.isnan(logits).any(axis=1)
    after = reliability(calibrate(logits[scaled], 1.0), table.label[scaled]) if scaled.any() else None
    with drawing(nrows=2, sharex=True, height_ratios=[4, 1]) as sheet:
        top, bottom = sheet.axes
        top.plot([0, 1], [0, 1], color=INK["soft"], linewidth=0.8, linestyle=(0, (2, 3)))
        _reliability_line(top, before, INK["soft"], "s", "as predicted")
        if after is not None:
            _reliability_line(top, after, INK["accent"], "o", "after temperature")
        shown = before if after is None else after
        bottom.bar(
            shown.edges[:-1],
            shown.cases,
            np.diff(shown.edges) * 0.92,
            align="edge",
            color=INK["accent"],
            alpha=0.6,
        )
        top.set(ylim=(0, 1.02), ylabel="accuracy")
        bottom.set(xlim=(1 / 3 - 0.02, 1.01), xlabel="probability of the chosen class", ylabel="cases")
        top.legend(loc="lower right")
    return sheet.svg


def _reliability_line(axes: Any, curve: Reliability, colour: str, marker: str, label: str) -> None:
    filled = curve.cases > 0
    axes.plot(
        curve.confidence[filled], curve.accuracy[filled],
        color=colour, marker=marker, markersize=4.5, linewidth=1.5, label=label,
    )  # fmt: skip


def confusion_chart(test: PredictionTable) -> str | None:
    """True against predicted class: counts, with each row's shares as shade."""
    counts = confusion(test)
    known = [code for code in range(len(CLASSES)) if counts[code].sum()]
    if not known:
        return None
    counts = counts[known]
    shares = counts / counts.sum(axis=1, keepdims=True)
    with drawing() as sheet:
        axes = sheet.axes
        for (row, column), share in np.ndenumerate(shares):
            axes.add_patch(_tile(column, row, float(share)))
            axes.text(column, row - 0.08, f"{counts[row, column]}", ha="center", va="center", fontsize=14)
            axes.text(
                column, row + 0.24, f"{share:.1%}", ha="center", va="center", fontsize=9, color=INK["soft"]
            )
        axes.set(xlim=(-0.5, 2.5), ylim=(len(known) - 0.5, -0.5), xlabel="predicted", ylabel="true")
        axes.set_xticks(range(len(CLASSES)), CLASSES)
        axes.set_yticks(range(len(known)), [CLASSES[code] for code in known])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    return sheet.svg


def _tile(column: int, row: int, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (column - 0.48, row - 0.48),
        0.96,
        0.96,
        facecolor=INK["accent"],
        alpha=0.06 + 0.5 * share,
        linewidth=0,
    )


def size_chart(test: PredictionTable, strata: Mapping[str, Any]) -> str | None:
    """Dice of each lesion image against the share of the image that the lesion covers, with each stratum's mean."""
    share = lesion_share(test)
    rows = np.flatnonzero(outlined(test) & np.isfinite(share))
    if not len(rows):
        return None
    shown = np.random.default_rng(0).permutation(rows)[:_MOST_POINTS]
    with drawing() as sheet:
        axes = sheet.axes
        for code, name in enumerate(CLASSES):
            here = shown[test.label[shown] == code]
            if len(here):
                axes.scatter(100 * share[here], test.dice[here], s=12, marker=_MARKERS[name], color=INK[name],
                             alpha=0.45, linewidths=0, label=name)  # fmt: skip
        low, high = 100 * share[rows].min() * 0.9, 100 * share[rows].max() * 1.1
        edges = [low, *(100 * border for border in SIZE_BINS), high]
        for index, name in enumerate(size_strata(test)):
            _stratum_bar(axes, edges[index], edges[index + 1], strata.get(name, {}).get("dice"))
        axes.set(xscale="log", xlim=(low, high), ylim=(-0.02, 1.02), ylabel="Dice")
        axes.set_xlabel("lesion's share of the image (%)")
        ticks = [tick for tick in (0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        legend = axes.legend(loc="lower right", ncols=3, markerscale=1.7, handletextpad=0.1, columnspacing=1)
        for handle in legend.legend_handles:
            handle.set_alpha(1)
    return sheet.svg


def _stratum_bar(axes: Any, left: float, right: float, interval: Mapping[str, Any] | None) -> None:
    if interval is None or interval["value"] is None or right <= left:
        return
    if interval["low"] is not None:
        axes.fill_between(
            [left, right], interval["low"], interval["high"], color=INK["text"], alpha=0.16, linewidth=0
        )
    axes.plot([left, right], [interval["value"]] * 2, color=INK["text"], linewidth=1.8)
    axes.annotate(
        f"{interval['value']:.2f}", ((left * right) ** 0.5, interval["value"]), (0, 7),
        textcoords="offset points", ha="center", fontsize=10, fontweight="bold",
    )  # fmt: skip

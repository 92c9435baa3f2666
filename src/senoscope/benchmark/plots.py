"""The leaderboard's charts as inline SVG: claimed → leaky → honest, and figures against parameters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from senoscope.benchmark.figures import FIGURES
from senoscope.benchmark.protocol import load_protocol, names
from senoscope.benchmark.rows import Row, Table
from senoscope.evaluation.bootstrap import Interval
from senoscope.evaluation.svg import INK, drawing

DUMBBELLS = ("accuracy", "auc_benign_malignant", "dice")
SCATTERS = ("auc_benign_malignant", "dice")
_LEAKY_MARKERS = "^svPX"  # one per leaky protocol, in the catalog's order
_NAMED = 4


def charts(table: Table) -> list[tuple[str, str, Markup]]:
    """Title, caption and drawing of each chart that a table has figures for."""
    found = []
    for figure in DUMBBELLS:
        rows = table.having(figure)
        if rows:
            title = f"{FIGURES[figure]}: claimed → leaky → honest"
            found.append((title, _DUMBBELL_CAPTION, _dumbbell(rows, figure)))
    for figure in SCATTERS:
        rows = table.having(figure)
        if len(rows) > 1:
            found.append((f"{FIGURES[figure]} against parameters", _SCATTER_CAPTION, _scatter(rows, figure)))
    # Matplotlib escapes what it writes; the charts hold no text but names of the catalogs.
    return [(title, caption, Markup(svg)) for title, caption, svg in found]  # noqa: S704


_DUMBBELL_CAPTION = (
    "Diamond: the paper's claim, on whatever data it used. Other corners: leaky replicas. Dot: honest, with its 95 % "
    "interval; an open dot is not ranked. Systems without a claim or a replica have the dot only."
)
_SCATTER_CAPTION = "Honest figures with 95 % intervals; open dots are not ranked."


def _dumbbell(rows: Sequence[Row], figure: str) -> str:
    leaky = [name for name in names() if not load_protocol(name).honest]
    markers = dict(zip(leaky, itertools.cycle(_LEAKY_MARKERS), strict=False))
    rows = list(reversed(rows))  # best on top
    with drawing(5.6, 0.23 * len(rows) + 1.0) as sheet:
        axes = sheet.axes
        for y, row in enumerate(rows):
            interval = row.figure(figure)
            if interval is None or interval["value"] is None:
                continue
            others = [
                (value, markers[entry.key.protocol], INK["normal"])
                for entry in row.leaky
                if figure in entry.figures and (value := entry.figures[figure]["value"]) is not None
            ]
            if figure in row.claims:
                others.append((row.claims[figure], "D", INK["malignant"]))
            reach = [interval["value"], *(value for value, _, _ in others)]
            axes.plot([min(reach), max(reach)], [y, y], color=INK["line"], linewidth=2.2, zorder=1)
            for value, marker, colour in others:
                axes.plot(value, y, marker=marker, color=colour, markersize=5, linestyle="none", zorder=2)
            _honest(axes, interval, y, row)
        axes.set(ylim=(-0.7, len(rows) - 0.3), xlabel=FIGURES[figure])
        axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=8.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(right=1.0)
    return sheet.svg


def _honest(axes: Any, interval: Interval, y: int, row: Row) -> None:
    colour = INK["accent"]
    if interval["low"] is not None:
        axes.plot([interval["low"], interval["high"]], [y, y], color=colour, linewidth=1.2, zorder=3)
    axes.plot(
        interval["value"], y, marker="o", markersize=5.5, color=colour, linestyle="none", zorder=4,
        markerfacecolor=colour if row.entry and row.entry.ranked else INK["panel"],
    )  # fmt: skip


def _scatter(rows: Sequence[Row], figure: str) -> str:
    with drawing() as sheet:
        axes = sheet.axes
        for number, row in enumerate(rows):
            interval = row.figure(figure)
            if interval is None:
                continue
            x, y = row.system.facts["params"] / 1e6, interval["value"]
            full = row.entry is not None and row.entry.ranked
            if interval["low"] is not None:
                axes.plot(
                    [x, x], [interval["low"], interval["high"]], color=INK["line"], linewidth=1.1, zorder=1
                )
            axes.plot(x, y, marker="o", markersize=5, color=INK["accent"], linestyle="none",
                      markerfacecolor=INK["accent"] if full else INK["panel"], zorder=2)  # fmt: skip
            if number < _NAMED:
                axes.annotate(row.label, (x, y), (5, 3), textcoords="offset points", fontsize=8)
        axes.set(xscale="log", xlabel="parameters (millions)", ylabel=FIGURES[figure])
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if _within(axes, tick)]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    return sheet.svg


def _within(axes: Any, tick: float) -> bool:
    low, high = axes.get_xlim()
    return bool(low <= tick <= high)

"""A robustness summary as one self-contained HTML page: small multiples of curves, and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from senoscope import __version__
from senoscope._files import write_text
from senoscope.evaluation import corruptions
from senoscope.evaluation.metrics import TITLES
from senoscope.evaluation.report import environment
from senoscope.evaluation.robustness_figures import ERRORS, FIGURES
from senoscope.evaluation.svg import INK, drawing

_CURVES = {"accuracy": ("accent", "o"), "auc_benign_malignant": ("malignant", "^"), "dice": ("normal", "s")}
"""Figures that are drawn, each with its colour of the style sheet and its marker."""

_MARKS = {"o": "●", "^": "▲", "s": "■"}
_ATTACKS = {"fgsm": "FGSM, one step", "pgd": "PGD, ten steps"}


def write_report(summary: Mapping[str, Any], path: Path) -> None:
    """Write the page of :func:`robustness_figures.summarise`'s result.

    Raises :class:`MissingExtraError` without Matplotlib.
    """
    write_text(path, render(summary))


def render(summary: Mapping[str, Any]) -> str:
    """The page's text."""
    shown = [name for name in FIGURES if name in summary["clean"]]
    rows = {name: corruptions.find(name) for name in summary["corruptions"]}
    template = environment().get_template("robustness.html.j2")
    return template.render(
        title=summary["system"] or "Robustness",
        summary=summary,
        shown=shown,
        titles=TITLES,
        errors=ERRORS,
        corruptions=rows,
        attacks=_ATTACKS,
        key=[
            (f"var(--{colour})", _MARKS[mark], TITLES[n])
            for n, (colour, mark) in _CURVES.items()
            if n in shown
        ],
        charts={
            name: _safe(curves(summary["clean"], levels)) for name, levels in summary["corruptions"].items()
        },
        attack_charts={
            name: _safe(curves(summary["clean"], levels, "ε, in 255ths"))
            for name, levels in summary["attacks"].items()
        },
        version=__version__,
    )


def _safe(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - Matplotlib escapes what it writes, and it writes none of the user's text


def curves(clean: Mapping[str, Any], levels: Mapping[str, Any], label: str = "severity") -> str:
    """Figures against severity, from the clean one at 0, with bands of their 95 % intervals, as inline SVG."""
    with drawing(3.3, 2.5) as sheet:
        axes = sheet.axes
        ticks = [0, *(int(level) for level in levels)]
        for figure, (colour, marker) in _CURVES.items():
            if figure in clean:
                points = [clean[figure], *(found.get(figure, {}) for found in levels.values())]
                _curve(axes, ticks, points, INK[colour], marker)
        axes.set(ylim=(0, 1.02), xlim=(-0.14 * ticks[-1], 1.05 * ticks[-1]), xlabel=label)
        axes.set_xticks(ticks, ["clean", *map(str, ticks[1:])])
    return sheet.svg


def _curve(axes: Any, ticks: list[int], points: list[Mapping[str, Any]], colour: str, marker: str) -> None:
    known = [(x, p) for x, p in zip(ticks, points, strict=True) if p.get("value") is not None]
    axes.plot(
        [x for x, _ in known], [p["value"] for _, p in known],
        color=colour, marker=marker, markersize=4.5, linewidth=1.6,
    )  # fmt: skip
    bounded = [(x, p) for x, p in known if p["low"] is not None]
    axes.fill_between(
        [x for x, _ in bounded], [p["low"] for _, p in bounded], [p["high"] for _, p in bounded],
        color=colour, alpha=0.13, linewidth=0,
    )  # fmt: skip

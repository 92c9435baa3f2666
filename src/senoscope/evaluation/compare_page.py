"""A comparison as one self-contained HTML page that works offline."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from senoscope import __version__
from senoscope._files import write_text
from senoscope.evaluation.compare import Comparison
from senoscope.evaluation.metrics import TITLES
from senoscope.evaluation.report import environment
from senoscope.evaluation.svg import INK, drawing


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page. Raises :class:`MissingExtraError` without Matplotlib."""
    write_text(path, render_page(comparison))


def render_page(comparison: Comparison) -> str:
    """The page's text."""
    page = environment()
    page.filters["p"] = p_text
    sides = comparison["first"], comparison["second"]
    chart = _chart(comparison)
    return page.get_template("compare.html.j2").render(
        found=comparison,
        titles=[side["system"] or side["name"] for side in sides],
        figure_titles=TITLES,
        chart=Markup(chart) if chart else None,  # noqa: S704 - Matplotlib escapes what it writes
        version=__version__,
    )


def p_text(value: float | None) -> str:
    """A p-value as papers print it."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _chart(comparison: Comparison) -> str | None:
    """Each difference with its interval, one line per figure."""
    shown = {name: figure for name, figure in comparison["figures"].items() if figure["low"] is not None}
    if not shown:
        return None
    with drawing(7.2, 0.9 + 0.5 * len(shown)) as sheet:
        axes = sheet.axes
        axes.axvline(0, color=INK["soft"], linewidth=0.8, linestyle=(0, (2, 3)))
        for row, figure in enumerate(shown.values()):
            reach = [[figure["difference"] - figure["low"]], [figure["high"] - figure["difference"]]]
            axes.errorbar(
                figure["difference"], row, xerr=reach, color=INK["accent"], marker="o", linewidth=1.8
            )
        axes.set_yticks(range(len(shown)), [TITLES[name] for name in shown])
        axes.set(ylim=(len(shown) - 0.5, -0.5), xlabel="first − second")
    return sheet.svg

"""Matplotlib figures as inline SVG that takes the page's typeface and colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from senoscope.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Each stands for a variable of the page's style sheet, and is replaced by it once drawn. The series' colours keep a
# contrast of 3:1 on either background and differ in lightness too, so they survive colour blindness and printing.
INK = {
    "text": "#18202a",
    "soft": "#566374",
    "line": "#d8dfe7",
    "panel": "#fefefe",
    "malignant": "#c24a0c",
    "benign": "#1668b8",
    "normal": "#16796a",
    "accent": "#0f5fa8",
}

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "senoscope",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK["soft"],
    "axes.labelcolor": INK["soft"],
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": INK["line"],
    "grid.linewidth": 0.7,
    "text.color": INK["text"],
    "xtick.color": INK["soft"],
    "ytick.color": INK["soft"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


class Drawing:
    """A figure being drawn, with its axes (one, or an array of several).

    :attr:`svg` holds its text once the ``with`` block of :func:`drawing` is left.
    """

    def __init__(self, figure: Figure, axes: Any) -> None:
        self.figure = figure
        self.axes = axes
        self.svg = ""


@contextmanager
def drawing(width: float = 4.9, height: float = 3.9, **options: Any) -> Iterator[Drawing]:
    """Axes to draw on in the house's style, sizes in inches; leaves Matplotlib's settings as they were."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "Evaluation reports draw with Matplotlib, which is not installed",
            fix="pip install 'senoscope[train]', or ask for figures only",
        ) from error
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        sheet = Drawing(figure, figure.subplots(**options))
        yield sheet
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    sheet.svg = _inline(buffer.getvalue())


def _inline(text: str) -> str:
    """Without XML prologue and fixed size, colours as style-sheet variables, hidden from screen readers."""
    text = text[text.index("<svg") :]
    text = re.sub(r'<svg ([^>]*?)height="[^"]*" ?', r"<svg \1", text, count=1)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*" ?', r'\1aria-hidden="true" ', text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for name, colour in INK.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", text)

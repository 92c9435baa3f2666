"""``report.html``: one self-contained page for a person, written image by image so that memory stays flat."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jinja2 import Environment, FunctionLoader

from senoscope import __version__
from senoscope._files import atomic_path
from senoscope.inference.analyzer import Analysis
from senoscope.inference.bundle import Bundle
from senoscope.inference.scope import modality_words
from senoscope.reports.pictures import embed_gray, embed_heat, embed_thumbnail
from senoscope.reports.rows import ABSENT, finding_row, frame_row
from senoscope.schema import RESEARCH_USE, Finding, Prediction, Report

_POINTS = {
    "threshold_sens95": "95 % sensitivity",
    "threshold_sens90": "90 % sensitivity",
    "threshold_spec90": "90 % specificity",
    "threshold_youden": "best balance",
}
_HINTS = {
    "out of scope": "No score: out of scope",
    "not analysable": "No score: not analysable",
    "failed": "Not read",
}
_SCALE_BARS = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """An operating point on the malignancy bar."""

    name: str
    value: float


class HtmlReport:
    """Collects sections and table rows on disk; ``open_html`` puts them together at the end."""

    def __init__(self, bundle: Bundle, sections: TextIO, rows: TextIO) -> None:
        self._card = bundle.card
        self._sections, self._rows = sections, rows
        self._failed: list[Report] = []
        self._counts: Counter[str] = Counter()
        self._number = 0

    def add(
        self, analysis: Analysis, name: str, frames: Sequence[tuple[int, Sequence[Finding]]] = ()
    ) -> None:
        """Append one image; ``name`` is what the page calls it. Of a loop it is the key frame, and ``frames`` are the
        frames with findings, for a table."""
        report = analysis.report
        self._number += 1
        self._counts[report.status] += 1
        if report.status == "failed" or analysis.gray is None:
            self._failed.append(report)
            return
        values = {**self._values(analysis, name), "frames": [frame_row(*frame) for frame in frames]}
        if report.status == "analysed":
            self._counts[values["verdict"]] += 1
            self._counts["with findings" if report.findings else "without findings"] += 1
        self._sections.write(_templates().get_template("case.html.j2").render(values))
        self._rows.write(_templates().get_template("row.html.j2").render(values))

    def write(self, page: TextIO, title: str, bundle: Bundle) -> None:
        """Head, table, sections, tail: the whole page."""
        values = {
            **_page_values(bundle, title),
            "counts": self._counts,
            "total": self._number,
            "failed": self._failed,
        }
        page.write(_templates().get_template("head.html.j2").render(values))
        _copy(self._rows, page)
        page.write(_templates().get_template("middle.html.j2").render(values))
        _copy(self._sections, page)
        page.write(_templates().get_template("tail.html.j2").render(values))

    def _values(self, analysis: Analysis, name: str) -> dict[str, Any]:
        report, gray = analysis.report, analysis.gray
        assert gray is not None  # noqa: S101 - add() sees to it
        answered = report.prediction if report.status == "analysed" else None
        return {
            "number": self._number,
            "name": name,
            "report": report,
            "prediction": answered,
            "verdict": self._verdict(answered),
            "hint": _HINTS.get(report.status, ""),
            "probabilities": _bars(answered),
            "malignancy": answered.probability("malignant") if answered else None,
            "locates": answered is not None and answered.locates,
            "absent": self._card.absent,
            "marks": self._marks(),
            "log_odds": _log_odds(answered, self._card.temperature),
            "findings": [
                finding_row(finding, index, report) for index, finding in enumerate(report.findings, 1)
            ],
            "remarks": [*(report.prediction.reasons if report.prediction else ()), *report.notes],
            "quality": report.prediction.quality if report.prediction else (),
            "picture": embed_gray(gray),
            "thumbnail": embed_thumbnail(gray),
            "heat": None if answered is None or answered.heatmap is None else embed_heat(answered.heatmap),
            "scale": _scale_bar(report),
            "width": gray.shape[1],
            "height": gray.shape[0],
            "ratio": gray.shape[1] / gray.shape[0] * _pixel_ratio(report),
        }

    def _verdict(self, prediction: Prediction | None) -> str:
        if prediction is None:
            return "withheld"
        if prediction.label is None or prediction.uncertainty is None:
            return "unclassified"
        return "uncertain" if prediction.uncertainty >= self._card.uncertainty_limit else prediction.label

    def _marks(self) -> list[Mark]:
        points = self._card.operating_points.get("malignant", {})
        return [
            Mark(_POINTS[key], value)
            for key, value in sorted(points.items())
            if key in _POINTS and 0 < value < 1
        ]


@contextmanager
def open_html(path: Path, bundle: Bundle, title: str | None = None) -> Iterator[HtmlReport]:
    """An ``HtmlReport`` whose page appears at ``path``, complete, when the block ends without an error.

    Without a ``title``, it says which kind of images the bundle reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(path.parent) as sections, _scratch(path.parent) as rows:
        report = HtmlReport(bundle, sections, rows)
        yield report
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as page:
            kind = modality_words(bundle.card.modalities)
            report.write(page, title or f"Breast {kind} report", bundle)


@contextmanager
def _scratch(folder: Path) -> Iterator[TextIO]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder) as stream:
        yield stream


def _copy(source: TextIO, target: TextIO) -> None:
    source.seek(0)
    shutil.copyfileobj(source, target)


def _page_values(bundle: Bundle, title: str) -> dict[str, Any]:
    style, script = _text("report.css"), _text("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return {
        "title": title,
        "card": bundle.card,
        "weights_hash": bundle.weights_hash,
        "research_use": RESEARCH_USE,
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "style": style,
        "script": script,
        "script_hash": digest,  # the page allows itself this script, inline styles and embedded pictures: nothing else
    }


@cache
def _templates() -> Environment:
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_text)
    )
    environment.filters["percent"] = _percent
    return environment


def _text(name: str) -> str:
    return (resources.files("senoscope.reports") / "templates" / name).read_text(encoding="utf-8")


def _percent(value: float | None) -> str:
    """A probability as a person reads it: never 0 % or 100 %, and no number where the model gives none."""
    if value is None:
        return ABSENT
    if value < 0.01:
        return "< 1 %"
    if value > 0.99:
        return "> 99 %"
    return f"{100 * value:.0f} %"


def _bars(prediction: Prediction | None) -> Sequence[tuple[str, float]]:
    if prediction is None or prediction.probabilities is None:
        return []
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return [(name, float(share)) for name, share in pairs][::-1]


def _log_odds(prediction: Prediction | None, temperature: float) -> float | None:
    """The sum of the heatmap's evidence: the difference of the malignant and benign logits."""
    shares = {} if prediction is None else dict(_bars(prediction))
    if not shares:
        return None
    malignant, benign = (max(shares[name], 1e-12) for name in ("malignant", "benign"))
    return float(np.log(malignant / benign)) * temperature


def _pixel_ratio(report: Report) -> float:
    """Width of a pixel over its height: images are shown as the breast is, not as the matrix is."""
    return report.spacing[1] / report.spacing[0] if report.spacing else 1.0


def _scale_bar(report: Report) -> dict[str, float] | None:
    """The longest round length that takes at most a third of the width, when the spacing is known."""
    if report.spacing is None or report.size is None:
        return None
    width_mm = report.size[0] * report.spacing[1]
    for length in _SCALE_BARS:
        if length <= width_mm / 3:
            return {"mm": length, "percent": 100 * length / width_mm}
    return None

"""Findings, and frames of a loop, as the lines of the page's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from senoscope.inference.cine import leading
from senoscope.reports.pictures import svg_path
from senoscope.schema import Finding, Report

ABSENT = "not given"


def finding_row(finding: Finding, number: int, report: Report) -> dict[str, Any]:
    """A finding of an analysed image: words and numbers for its line, and where its outline and tag stand."""
    assert report.size is not None  # noqa: S101 - an analysed image has a size
    width, height = report.size
    top = int(np.argmin(finding.contour[:, 1]))
    x, y = finding.contour[top] + 0.5
    measures = finding.measures
    words = [word for word in (finding.shape, finding.orientation, finding.margin) if word]
    return {
        "number": number,
        "score": finding.score,
        "tone": _tone(finding.score),
        "path": svg_path(finding.contour),
        "left": 100 * float(x) / width,
        "top": 100 * float(y) / height,
        "below": float(y) / height < 0.09,
        "diameter": _diameter(measures),
        "area": _area(finding),
        "words": ", ".join(words) or ABSENT,
        "confidence": finding.confidence,
        "measures": measures,
    }


def frame_row(frame: int, findings: Sequence[Finding]) -> dict[str, Any]:
    """A loop's frame in one line: its finding of the highest score, and how many there are."""
    first = leading(findings)
    return {
        "frame": frame,
        "findings": len(findings),
        "score": first.score,
        "tone": _tone(first.score),
        "diameter": _diameter(first.measures),
        "area": _area(first),
    }


def _tone(score: float | None) -> str:
    if score is None:
        return "unscored"
    return "malignant" if score >= 0.5 else "benign"


def _diameter(measures: Mapping[str, float]) -> str:
    if "max_diameter_mm" in measures:
        return f"{measures['max_diameter_mm']:.1f} mm"
    return f"{measures['max_diameter_px']:.0f} px" if "max_diameter_px" in measures else ABSENT


def _area(finding: Finding) -> str:
    if finding.area_mm2 is not None:
        return f"{finding.area_mm2:.1f} mm²"
    return "" if finding.area_px is None else f"{finding.area_px:,} px"

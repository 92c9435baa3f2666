"""``findings.json``: results for programs, written image by image (schema: docs/reference/findings-json.md)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from senoscope import __version__
from senoscope._files import atomic_path
from senoscope.inference.bundle import Bundle
from senoscope.schema import RESEARCH_USE, Finding, Report

SCHEMA_VERSION = "1.1"


class JsonWriter:
    """Appends one item per image to an open file; only counts stay in memory."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._counts: Counter[str] = Counter()

    def add(self, item: Mapping[str, Any]) -> None:
        """Write one item, as ``report_item`` makes it."""
        self._stream.write(",\n" if self._counts else "\n")
        self._stream.write(json.dumps(item, ensure_ascii=False, allow_nan=False))
        self._counts[item["status"]] += 1

    @property
    def counts(self) -> dict[str, int]:
        """Images by status so far."""
        return dict(self._counts)


@contextmanager
def open_json(path: Path, bundle: Bundle) -> Iterator[JsonWriter]:
    """A ``JsonWriter`` whose file appears at ``path``, complete, when the block ends without an error."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        head = json.dumps(document_head(bundle), ensure_ascii=False, indent=1)
        stream.write(head.removesuffix("\n}") + ',\n "items": [')
        writer = JsonWriter(stream)
        yield writer
        stream.write(f'\n ],\n "summary": {json.dumps(writer.counts)}\n}}\n')


def document_head(bundle: Bundle) -> dict[str, Any]:
    """What stands before the items: versions, the model's identity and how its probabilities were calibrated."""
    card = bundle.card
    return {
        "schema_version": SCHEMA_VERSION,
        "research_use": RESEARCH_USE,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "senoscope": __version__,
        "model": {
            "name": card.name,
            "version": card.version,
            "system": card.system,
            "gives": list(card.gives),
            "weights_sha256": bundle.weights_hash,
            "classes": list(card.classes),
            "temperature": card.calibration.temperature if card.calibration else None,
            "prevalence": card.calibration.prevalence if card.calibration else {},
            "operating_points": card.operating_points,
            "mask_threshold": card.mask_threshold,
            "uncertainty_limit": card.uncertainty_limit,
        },
    }


def report_item(
    report: Report, files: Mapping[str, str] | None = None, *, certain: bool = True
) -> dict[str, Any]:
    """One image's result as plain JSON values. Scores of an image that is out of scope are withheld.

    ``files`` are paths of written pictures relative to the document; ``certain`` is whether the model knows. What the
    model does not give is null, findings included: an empty list says that it looked and reports none.
    """
    prediction = report.prediction if report.status == "analysed" else None
    classified = prediction is not None and prediction.probabilities is not None
    return {
        "source": report.source,
        "status": report.status,
        "size": list(report.size) if report.size else None,
        "spacing_mm": list(report.spacing) if report.spacing else None,
        "class": prediction.label if prediction else None,
        "certain": certain if classified else None,
        "probabilities": {name: _rounded(prediction.probability(name), 5) for name in prediction.classes}
        if prediction is not None and classified
        else None,
        "uncertainty": _rounded(prediction.uncertainty, 4) if prediction else None,
        "findings": None
        if prediction is not None and not prediction.locates
        else [finding_item(finding) for finding in report.findings],
        "reasons": list(report.prediction.reasons) if report.prediction else [],
        "quality": list(report.prediction.quality) if report.prediction else [],
        "notes": list(report.notes),
        "files": dict(files or {}),
        "seconds": _rounded(report.seconds, 4),
    }


def finding_item(finding: Finding) -> dict[str, Any]:
    """One finding as plain JSON values; contour points are [x, y] in pixels of the original image."""
    return {
        "score": _rounded(finding.score, 5),
        "confidence": _rounded(finding.confidence, 4),
        "box": [_round(value, 2) for value in finding.box],
        "area_px": finding.area_px,
        "area_mm2": _rounded(finding.area_mm2, 3),
        "shape": finding.shape,
        "orientation": finding.orientation,
        "margin": finding.margin,
        "measures": {name: _round(value, 4) for name, value in finding.measures.items()},
        "contour": [[_round(x, 2), _round(y, 2)] for x, y in finding.contour.tolist()],
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else _round(value, digits)


def _round(value: float, digits: int) -> float:
    return round(float(value), digits)

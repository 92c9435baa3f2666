"""Who made an object, when, and under which identifiers: all of it derived, nothing drawn at random.

The same image, findings, model and version of Senoscope give the same identifiers and dates, so that a re-run makes
the same objects again and an archive sees no duplicates. UIDs are UUID-derived (DICOM PS3.5 B.2, root 2.25).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from datetime import datetime

import numpy as np
from pydicom import Dataset

from senoscope import __version__
from senoscope.inference.bundle import Bundle
from senoscope.schema import Finding, FloatArray, Report

MANUFACTURER = "Senoscope"
KINDS = ("SEG", "SR", "SC")
UNKNOWN_DATE = datetime(1970, 1, 1)
"""The date of objects whose source states none."""

_DATES = (
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)


def uid(*parts: str) -> str:
    """A UID that depends on ``parts`` alone: 2.25 and 128 bits of their SHA-256, at most 44 characters."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def short(text: str) -> str:
    """Sixteen hexadecimal digits that stand for ``text`` in file names."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def study_folder(study: str) -> str:
    """The folder of a study's objects: a hash, so that no text of a file ever becomes a path."""
    return short(study)


def device_uid(bundle: Bundle) -> str:
    """The algorithm as a device: another one whenever the weights change, even by a bit."""
    return uid("device", MANUFACTURER, bundle.card.name, bundle.weights_hash)


def run_key(bundle: Bundle) -> str:
    """Everything about the software that an object depends on: weights, card (thresholds, calibration), version."""
    return short(json.dumps([bundle.weights_hash, bundle.card.model_dump_json(), __version__]))


def content_key(gray: FloatArray | None, report: Report) -> str:
    """One frame's pixels and what was said of it, as a hash."""
    digest = hashlib.sha256()
    if gray is not None:
        digest.update(repr(gray.shape).encode() + np.ascontiguousarray(gray, dtype=np.float32).tobytes())
    digest.update(json.dumps([report.status, list(report.notes)]).encode())
    prediction = report.prediction
    if prediction is not None:
        said = [*prediction.reasons, *prediction.quality]
        digest.update(json.dumps(said).encode())
        if prediction.probabilities is not None:
            digest.update(prediction.probabilities.tobytes())
    for finding in report.findings:
        digest.update(_finding_key(finding))
    return digest.hexdigest()


def _finding_key(finding: Finding) -> bytes:
    words = [
        finding.area_px,
        finding.area_mm2,
        finding.score,
        finding.shape,
        finding.orientation,
        finding.margin,
    ]
    return np.ascontiguousarray(finding.contour, dtype=np.float32).tobytes() + json.dumps(words).encode()


def series_uid(source: Dataset, bundle: Bundle, kind: str) -> str:
    """The series of one kind of object made from one source series by one model."""
    return uid("series", kind, source.StudyInstanceUID, source.SeriesInstanceUID, run_key(bundle))


def series_number(source: Dataset, bundle: Bundle, kind: str) -> int:
    """A series number from the same facts: 70,000 to 100,000, neighbours for the kinds of one run."""
    facts = (source.StudyInstanceUID, source.SeriesInstanceUID, run_key(bundle))
    return 70_000 + int(short(json.dumps(facts)), 16) % 10_000 * len(KINDS) + KINDS.index(kind)


def instance_uid(source: Dataset, bundle: Bundle, kind: str, frame: int, contents: Iterable[str]) -> str:
    """One object: its source instance and frame (0: all of them), and the ``content_key`` of every frame it tells."""
    return uid("instance", kind, source.SOPInstanceUID, str(frame), run_key(bundle), *contents)


def instance_number(source: Dataset, frame: int = 0) -> int:
    """The source's instance number; the frames of a cine follow it in steps of one."""
    try:
        own = int(source.get("InstanceNumber") or 1)
    except (TypeError, ValueError):
        own = 1
    own = own if 0 < own < 100_000 else 1
    return own * 10_000 + frame if frame else own


def moment(source: Dataset) -> datetime:
    """When the objects say they were made: the source's content, acquisition, series or study date and time.

    A clock would make every re-run another object. The time of the analysis itself belongs in the log of who ran it.
    """
    for date, time in _DATES:
        day = _parsed(str(source.get(date) or ""), "%Y%m%d")
        if day:
            clock = _parsed(str(source.get(time) or "").partition(".")[0].ljust(6, "0")[:6], "%H%M%S")
            return day.replace(hour=clock.hour, minute=clock.minute, second=clock.second) if clock else day
    return UNKNOWN_DATE


def _parsed(text: str, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(text, pattern)
    except ValueError:
        return None

"""The identifiers of a stored DICOM file that its results refer to; nothing else of it is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAGS: list[Any] = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")


@dataclass(frozen=True, slots=True)
class Identity:
    """UIDs of an image: its study, series, itself, and its kind."""

    study: str
    series: str
    instance: str
    sop_class: str


def identity_of(path: Path) -> Identity | None:
    """A DICOM file's UIDs; ``None`` if one is missing or not a UID (PS3.5 section 9.1)."""
    from pydicom import dcmread

    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        uids = [str(header.get(tag, "")) for tag in _TAGS]
    except (
        Exception
    ):  # hostile bytes make parsers raise anything; an unreadable header has no UIDs to refer to
        return None
    if not all(_UID.fullmatch(uid) and len(uid) <= 64 for uid in uids):
        return None
    return Identity(*uids)

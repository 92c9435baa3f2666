"""Stored images, and the frames of a loop, told as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlalchemy import Connection, Row, func, select

from senoscope.clinic.service.blobs import Blobs
from senoscope.clinic.service.keyframe import Entry, highest_score, key_frame, numbers_of, shown_frame
from senoscope.clinic.service.progress import Progress, progress_of, total
from senoscope.clinic.service.tables import FINDINGS
from senoscope.inference.cine import KEY_NOTE

GIVEN_UP = "The analysis was tried several times and given up; an operator can try it again."

_NOT_ANALYSED = "Not analysed: {count} of {frames} frames ({which})."
_NAMED = 12
_SAID = ("size", "spacing_mm", "class", "certain", "probabilities", "uncertainty", "seconds")


def stored_result(blobs: Blobs, row: Row[Any]) -> dict[str, Any]:
    """What was said of an image when it was analysed, findings apart; empty while it waits."""
    return json.loads(blobs.read(row.result)) if row.result else {}


def describe_images(
    connection: Connection, blobs: Blobs, rows: Sequence[Row[Any]], dead: Set[int]
) -> list[dict[str, Any]]:
    """An exam's images, of which ``dead`` were given up. Of a loop's findings only the key frame's are read: there may
    be thousands."""
    waits = any(row.status is None for row in rows)
    come = progress_of(connection, [row.exam for row in rows]) if waits else {}
    described = []
    for row in rows:
        result = stored_result(blobs, row)
        if result.get("cine"):
            described.append(_loop(connection, row, result))
        else:
            described.append(_still(connection, row, result, row.number in dead, come))
    return described


def describe_frame(
    connection: Connection, row: Row[Any], result: Mapping[str, Any], frame: int
) -> dict[str, Any]:
    """A frame of a loop, counted from 1, in the words of an image."""
    entry = result["cine"]["frames"][frame - 1]
    return {
        **_said(row, entry, _findings(connection, row, numbers_of(entry))),
        "status": entry["status"],
        "frame": frame,
        "has_picture": entry["status"] != "failed",
        "has_heatmap": row.heatmap is not None and entry["status"] == "analysed",
    }


def _still(
    connection: Connection,
    row: Row[Any],
    result: Mapping[str, Any],
    dead: bool,
    come: Mapping[tuple[str, int], Progress],
) -> dict[str, Any]:
    """Also a loop that was not analysed yet."""
    waits = row.status is None and not dead
    far = come.get((row.exam, row.number))
    return {
        **_said(row, result, _findings(connection, row)),
        "status": "waiting" if waits else row.status or "failed",
        "frame": None,
        "cine": None,
        "progress": total([far]) if far and waits else None,
        "notes": result.get("notes", [GIVEN_UP] if dead else []),
        "has_picture": row.picture is not None,
        "has_heatmap": row.heatmap is not None,
    }


def _loop(connection: Connection, row: Row[Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """A loop: its key frame, and as a whole; ``marks`` are its frames with findings."""
    cine, entries = result["cine"], result["cine"]["frames"]
    reviews = _reviews(connection, row)
    rejected = {number for number, review in reviews.items() if review == "rejected"}
    shown = shown_frame(entries, rejected)
    told = describe_frame(connection, row, result, shown)
    missing = [str(frame) for frame, entry in enumerate(entries, 1) if entry["status"] != "analysed"]
    remarks = list(told["notes"])
    if highest_score(entries[shown - 1], rejected) is not None:
        remarks.append(KEY_NOTE.format(count=len(entries), frame=shown))
    if missing:
        which = ", ".join(missing[:_NAMED]) + (" …" if len(missing) > _NAMED else "")
        remarks.append(_NOT_ANALYSED.format(count=len(missing), frames=len(entries), which=which))
    return {
        **told,
        "quality": list(dict.fromkeys([*told["quality"], *cine["burnt_in"]])),
        "notes": remarks,
        "seconds": sum(entry["seconds"] or 0 for entry in entries) or None,
        "progress": None,
        "cine": {
            "frames": len(entries),
            "analysed": len(entries) - len(missing),
            "key_frame": key_frame(entries, rejected),
            "rate": cine["rate"],
            "marks": _marks(entries, reviews, rejected),
        },
    }


def _marks(entries: Sequence[Entry], reviews: Mapping[int, str], rejected: Set[int]) -> list[dict[str, Any]]:
    return [
        {
            "frame": frame,
            "findings": len(entry["scores"]),
            "score": highest_score(entry, rejected),
            "reviewed": sum(number in reviews for number in numbers_of(entry)),
            "rejected": sum(number in rejected for number in numbers_of(entry)),
        }
        for frame, entry in enumerate(entries, 1)
        if entry["scores"]
    ]


def _said(row: Row[Any], result: Mapping[str, Any], findings: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "number": row.number,
        "name": row.name,
        "kind": row.kind,
        **{key: result.get(key) for key in _SAID},
        "findings": findings if result.get("locates", True) else None,
        **{key: result.get(key, []) for key in ("reasons", "quality", "notes")},
    }


def _reviews(connection: Connection, row: Row[Any]) -> dict[int, str]:
    """How those of an image's findings stand that somebody has reviewed."""
    columns = (FINDINGS.c.number, FINDINGS.c.review)
    query = latest_findings(row.exam, row.number).with_only_columns(*columns).where(FINDINGS.c.version > 1)
    return {found.number: found.review for found in connection.execute(query)}


def _findings(connection: Connection, row: Row[Any], numbers: range | None = None) -> list[dict[str, Any]]:
    rows = connection.execute(latest_findings(row.exam, row.number, numbers))
    return [describe_finding(found) for found in rows]


def describe_finding(row: Row[Any]) -> dict[str, Any]:
    """A version of a finding; ``frame`` is ``None`` on a still."""
    head = {"number": row.number, "version": row.version, "review": row.review, "author": row.author}
    return {**head, "frame": None, "changed": row.created, **json.loads(row.item)}


def latest_findings(exam: str, image: int, numbers: range | None = None) -> Any:
    """A query for the newest version of every finding of an image, or of those with some ``numbers``."""
    here = (FINDINGS.c.exam == exam) & (FINDINGS.c.image == image)
    if numbers is not None:
        here &= FINDINGS.c.number.between(numbers.start, numbers.stop - 1)
    newest = (
        select(FINDINGS.c.number, func.max(FINDINGS.c.version).label("version"))
        .where(here)
        .group_by(FINDINGS.c.number)
        .subquery()
    )
    same = (FINDINGS.c.number == newest.c.number) & (FINDINGS.c.version == newest.c.version)
    return select(FINDINGS).join(newest, same).where(here).order_by(FINDINGS.c.number)

"""Which frame of a stored loop to look at first: the rule of ``inference.cine``, after review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

Entry = Mapping[str, Any]
"""What is kept of a frame: ``findings.json``'s item without its findings, but the number of the ``first`` within the
loop, and the ``scores`` and ``areas`` of all."""

_NOBODY: frozenset[int] = frozenset()


def numbers_of(entry: Entry) -> range:
    """The numbers, within its loop, of a frame's findings."""
    return range(entry["first"], entry["first"] + len(entry["scores"]))


def key_frame(entries: Sequence[Entry], rejected: Set[int] = _NOBODY) -> int | None:
    """The analysed frame, counted from 1, whose lesion has the highest score, then the largest area, then comes first.

    Findings whose numbers are ``rejected`` do not count. ``None`` if no frame was analysed.
    """
    best, highest = None, (-2.0, 0)
    for frame, entry in enumerate(entries, 1):
        rank = _rank(entry, rejected)
        if entry["status"] == "analysed" and rank > highest:
            best, highest = frame, rank
    return best


def shown_frame(entries: Sequence[Entry], rejected: Set[int] = _NOBODY) -> int:
    """The key frame, or the first frame that could be read where none was analysed."""
    read = (frame for frame, entry in enumerate(entries, 1) if entry["status"] != "failed")
    return key_frame(entries, rejected) or next(read, 1)


def highest_score(entry: Entry, rejected: Set[int] = _NOBODY) -> float | None:
    """The highest score of a frame's findings that are not ``rejected``; ``None`` if none has one."""
    kept = zip(numbers_of(entry), entry["scores"], strict=True)
    return max(
        (score for number, score in kept if score is not None and number not in rejected), default=None
    )


def _rank(entry: Entry, rejected: Set[int]) -> tuple[float, int]:
    kept = zip(numbers_of(entry), entry["scores"], entry["areas"], strict=True)
    left = [(score or 0.0, area or 0) for number, score, area in kept if number not in rejected]
    return max((score for score, _ in left), default=-1.0), max((area for _, area in left), default=0)

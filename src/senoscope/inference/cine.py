"""Cine loops: every frame an answer of its own, and the one frame to look at first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from senoscope.imaging.raw import Limits
from senoscope.imaging.read import read_frames
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.schema import Finding, Report

KEY_NOTE = "A loop of {count} frames: frame {frame} is shown, the one whose lesion has the highest score."


def examine_frames(path: Path, analyzer: Analyzer, *, limits: Limits | None = None) -> Iterator[Analysis]:
    """Analyse a file's frames one after another, in order; a still is one frame. Memory holds one at a time.

    Raises ``ImageError`` for a file that cannot be read.
    """
    for raw in read_frames(path, limits=limits):
        yield analyzer.examine(raw)


def examine_file(path: Path, analyzer: Analyzer) -> Analysis:
    """One analysis per file: a still's own, a cine's that of its key frame, with a note that says so.

    Raises ``ImageError`` for a file that cannot be read.
    """
    best, first, count = KeyFrame(), None, 0
    for count, analysis in enumerate(examine_frames(path, analyzer), start=1):
        first = first or analysis
        best.offer(count, analysis)
    shown = best.analysis or first
    assert shown is not None  # noqa: S101 - a file without frames was refused
    report = replace(shown.report, source=str(path))
    if count > 1:
        told = KEY_NOTE.format(count=count, frame=best.frame or 1)
        report = replace(report, notes=(*report.notes, told))
    return replace(shown, report=report)


def frame_rank(report: Report) -> tuple[bool, float, int]:
    """How much a frame deserves to be shown: analysed first, then its highest lesion score, then its lesion's size.

    A frame without findings counts less than any with one; findings without a score count as 0.
    """
    highest = max((finding.score or 0.0 for finding in report.findings), default=-1.0)
    largest = max((finding.area_px or 0 for finding in report.findings), default=0)
    return report.status == "analysed", highest, largest


def leading(findings: Sequence[Finding]) -> Finding:
    """A frame's finding of the highest score, of several equal ones the largest; one without a score counts as 0."""
    return max(findings, key=lambda finding: (finding.score or 0.0, finding.area_px or 0))


class KeyFrame:
    """Keeps the frame of the highest rank among those offered, the first one where several are equal."""

    def __init__(self) -> None:
        self.frame = 0
        self.analysis: Analysis | None = None
        self._rank: tuple[bool, float, int] = (False, -2.0, 0)

    def offer(self, frame: int, analysis: Analysis) -> None:
        """Consider one more frame; only analysed ones can be the key frame."""
        rank = frame_rank(analysis.report)
        if rank[0] and rank > self._rank:
            self.frame, self.analysis, self._rank = frame, analysis, rank

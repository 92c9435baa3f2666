"""A loop through the model, frame by frame: memory holds one frame, and what was said of the others in few words.

What is kept of a loop: an entry per frame, the findings of all frames, numbered through, and an archive of the frames'
evidence.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from senoscope.clinic.service.blobs import refuse_if_full
from senoscope.clinic.service.errors import NotFoundError
from senoscope.clinic.service.keyframe import shown_frame
from senoscope.clinic.service.pictures import heat_png
from senoscope.clinic.service.store import Outcome
from senoscope.errors import ImageError
from senoscope.imaging.dicom_frames import Loop
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.inference.bundle import Bundle
from senoscope.inference.scope import text_note
from senoscope.reports.json import report_item
from senoscope.schema import Report

_HEAT_SIDE = 176
_PIECE = 1 << 20
_OF_THE_FILE = ("source", "files", "findings")


def heat_name(frame: int) -> str:
    """The name of a frame's evidence in the archive."""
    return f"{frame:05d}.png"


def is_certain(report: Report, bundle: Bundle) -> bool:
    """Whether the model knows what it says."""
    doubt = report.prediction.uncertainty if report.prediction else None
    return doubt is None or doubt < bundle.card.uncertainty_limit


@contextmanager
def analysed_loop(
    loop: Loop, analyzer: Analyzer, scratch: Path, tick: Callable[[int, int], None]
) -> Iterator[Outcome]:
    """Everything found in a loop. A frame that cannot be read has an entry that says why, and the others go on.

    Findings and evidence wait in unnamed files of the folder ``scratch`` until the block ends. ``tick`` is told how
    many of how many frames are done; what it raises ends the analysis. Raises ``DiskFullError``,
    and ``NotFoundError`` if the file is erased under way.
    """
    with TemporaryFile("w+", dir=scratch, encoding="utf-8") as found, TemporaryFile(dir=scratch) as heats:
        try:
            with zipfile.ZipFile(heats, "w") as archive:
                kept = _Kept(analyzer.bundle, found, archive)
                for frame in range(1, loop.count + 1):
                    kept.add(_examined(loop, frame, analyzer))
                    tick(frame, loop.count)
            found.flush()
        except FileNotFoundError:
            raise NotFoundError("the image was erased meanwhile") from None
        except OSError as error:
            refuse_if_full(error)
            raise
        cine = {"rate": loop.rate, "burnt_in": kept.burnt_in, "frames": kept.entries}
        shown = kept.entries[shown_frame(kept.entries) - 1]
        yield Outcome(
            item={"status": shown["status"], "findings": None, "cine": cine},
            heatmap=_pieces(heats) if kept.has_heat else None,
            findings=_lines(found),
        )


def _examined(loop: Loop, frame: int, analyzer: Analyzer) -> Analysis:
    try:
        raw = loop.frame(frame)
    except ImageError as error:
        return Analysis(Report(source=loop.source, status="failed", notes=(str(error),)))
    return analyzer.examine(raw)


@dataclass(slots=True)
class _Kept:
    """Entries of the frames so far; what is large goes to the two files."""

    bundle: Bundle
    found: IO[str]
    archive: zipfile.ZipFile
    entries: list[dict[str, Any]] = field(default_factory=list)
    burnt_in: tuple[str, ...] = ()
    has_heat: bool = False
    _findings: int = 0

    def add(self, analysis: Analysis) -> None:
        """One more frame."""
        report, frame = analysis.report, len(self.entries) + 1
        item = report_item(report, certain=is_certain(report, self.bundle))
        findings = item["findings"]
        self.entries.append(
            {
                **{key: value for key, value in item.items() if key not in _OF_THE_FILE},
                "locates": findings is not None,
                "first": self._findings + 1,
                "scores": [finding["score"] for finding in findings or ()],
                "areas": [finding["area_px"] for finding in findings or ()],
            }
        )
        if frame == 1 and analysis.gray is not None and report.prediction is not None:
            self.burnt_in = text_note(analysis.gray)  # what is burnt in stands in every frame
        for finding in findings or ():
            self.found.write(json.dumps({**finding, "frame": frame}, allow_nan=False) + "\n")
            self._findings += 1
        heat = report.prediction.heatmap if report.prediction and report.status == "analysed" else None
        if heat is not None:
            self.archive.writestr(zipfile.ZipInfo(heat_name(frame)), heat_png(heat, _HEAT_SIDE))
            self.has_heat = True


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    stream.seek(0)
    while piece := stream.read(_PIECE):
        yield piece


def _lines(stream: IO[str]) -> Iterator[Mapping[str, Any]]:
    stream.seek(0)
    return map(json.loads, stream)

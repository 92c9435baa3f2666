"""Files and folders of DICOM images to objects: what ``senoscope dicom`` runs.

Two passes. The first reads headers only and finds repeated instances and studies that mix patients; the second
analyses one image, or one frame of a cine, at a time. A file that cannot be used never stops the others.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from senoscope._files import sha256_file, write_text
from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.intake import Intake, Verdict
from senoscope.clinic.dicom.objects import write_objects
from senoscope.clinic.dicom.skeleton import need_highdicom
from senoscope.clinic.dicom.source import Source, read_source
from senoscope.errors import SenoscopeError, UsageError
from senoscope.imaging.dicom_checks import OtherKindError
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.inference.batch import find_images, with_text_note
from senoscope.inference.bundle import DEFAULT_BUNDLE, Bundle
from senoscope.inference.cine import KeyFrame, examine_frames
from senoscope.schema import RESEARCH_USE

INDEX = "objects.json"
GOOD = ("written", "same", "skipped")
"""What may become of a file without the whole run counting as failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went: one entry per file, as ``objects.json`` holds them."""

    out: Path
    items: tuple[dict[str, Any], ...]
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        """Files by what became of them."""
        return dict(Counter(str(item["status"]) for item in self.items))

    @property
    def exit_code(self) -> int:
        """1 if any file failed, conflicted or was quarantined, else 0."""
        return int(any(item["status"] not in GOOD for item in self.items))


def process(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    bundle: str | Path | Bundle = DEFAULT_BUNDLE,
    threads: int | None = 2,
    on_item: Callable[[dict[str, Any]], None] | None = None,
) -> Outcome:
    """Analyse DICOM files and write each study's objects to ``out``/<hash of the study>.

    ``on_item`` receives one entry per file: source, status (written, same, skipped, conflict, quarantined, failed),
    note, study, result, frames, findings, key_frame, objects. Raises ``UsageError`` if there is no DICOM file among
    ``paths``; ``BundleError`` or ``MissingExtraError`` if nothing could be written at all.
    """
    start, target = time.perf_counter(), Path(out)
    need_highdicom()
    files = _dicom_files(paths, target)
    analyzer = Analyzer(bundle, threads)
    ledger, verdicts = Intake(), {}
    for file in files:
        verdicts[file] = _first_look(file, ledger)
    items: list[dict[str, Any]] = []
    written: set[str] = set()
    for file in files:
        item = _item(file, verdicts[file], ledger, written, analyzer, target)
        items.append(item)
        if on_item:
            on_item(item)
    document = {"research_use": RESEARCH_USE, "bundle": analyzer.bundle.title, "files": items}
    write_text(target / INDEX, json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return Outcome(target, tuple(items), time.perf_counter() - start)


def _dicom_files(paths: Sequence[str | Path], out: Path) -> list[Path]:
    """Named files as they are; of folders, only what is DICOM by its content."""
    named = {Path(path).resolve() for path in paths if not Path(path).is_dir()}
    found = [file for file in find_images(paths, skip=out) if file.resolve() in named or _has_mark(file)]
    if not found:
        raise UsageError(
            f"no DICOM files in {', '.join(str(path) for path in paths)}",
            expected="DICOM files, or folders of them",
            fix="'senoscope analyze' reads PNG, JPEG and TIFF",
        )
    return found


def _has_mark(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return True  # named later, with the reason


def _first_look(file: Path, ledger: Intake) -> Verdict | dict[str, Any]:
    """The verdict on a file's header, or the item of a file that is not to be analysed."""
    try:
        return ledger.admit(read_source(file), sha256_file(file))
    except OtherKindError as error:
        return _told(file, "skipped", error)
    except (SenoscopeError, OSError) as error:
        return _told(file, "failed", error)


def _item(
    file: Path,
    verdict: Verdict | dict[str, Any],
    ledger: Intake,
    written: set[str],
    analyzer: Analyzer,
    out: Path,
) -> dict[str, Any]:
    """What becomes of a file. ``written`` holds the instances answered so far: a copy of a damaged file still counts
    as the first."""
    if isinstance(verdict, dict):
        return verdict
    try:
        source = read_source(file)
        if ledger.is_mixed(source):
            note = "its study holds objects of more than one patient: nothing of it was analysed"
            return _entry(file, "quarantined", source, note)
        instance = identity.short(source.header.SOPInstanceUID)
        if verdict == Verdict.SAME and instance in written:
            return _entry(file, "same", source, "the same object was given before")
        if verdict == Verdict.CONFLICT and instance in written:
            note = "another object with the same SOP Instance UID was given before: the first one stays"
            return _entry(file, "conflict", source, note)
        item = _written(file, source, analyzer, out)
        written.add(instance)
        return item
    except (SenoscopeError, OSError) as error:
        return _told(file, "failed", error)


def _written(file: Path, source: Source, analyzer: Analyzer, out: Path) -> dict[str, Any]:
    tally = Tally()
    objects = write_objects(source, tally.watch(examine_frames(file, analyzer)), analyzer.bundle, out)
    return {
        **_entry(file, "written", source, "; ".join(tally.notes)),
        "result": tally.result,
        "frames": tally.frames,
        "findings": tally.findings,
        "key_frame": tally.best.frame or None,
        "objects": [path.relative_to(out).as_posix() for path in objects],
    }


class Tally:
    """Counts analyses as they pass by."""

    def __init__(self) -> None:
        self.frames = self.findings = 0
        self.notes: tuple[str, ...] = ()
        self.results: Counter[str] = Counter()
        self.best = KeyFrame()

    @property
    def result(self) -> str:
        """``analysed`` if any frame was, else why the last was not."""
        return "analysed" if self.results["analysed"] else next(iter(self.results), "failed")

    def watch(self, analyses: Iterable[Analysis]) -> Iterator[Analysis]:
        """The same analyses; the first one with a note on burnt-in text."""
        for analysis in analyses:
            self.frames += 1
            seen = with_text_note(analysis) if self.frames == 1 else analysis
            report = seen.report
            self.findings += len(report.findings)
            self.results[report.status] += 1
            if self.frames == 1:
                prediction = report.prediction
                self.notes = (*(prediction.reasons if prediction else ()), *report.notes)
            self.best.offer(self.frames, seen)
            yield seen


def _entry(file: Path, status: str, source: Source, note: str) -> dict[str, Any]:
    return {
        "source": str(file),
        "status": status,
        "note": note,
        "study": identity.study_folder(source.header.StudyInstanceUID),
    }


def _told(file: Path, status: str, error: Exception) -> dict[str, Any]:
    return {"source": str(file), "status": status, "note": str(error)}

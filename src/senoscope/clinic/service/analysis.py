"""One image through the model: what the service keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from senoscope.clinic.service.cine import analysed_loop, is_certain
from senoscope.clinic.service.pictures import heat_png, picture_png
from senoscope.clinic.service.store import Outcome
from senoscope.errors import ImageError
from senoscope.imaging.dicom_frames import Loop, open_loop
from senoscope.imaging.raw import Limits, RawImage
from senoscope.imaging.read import decode_image
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.batch import with_text_note
from senoscope.reports.json import report_item
from senoscope.schema import Report


@contextmanager
def analysed(
    path: Path,
    kind: str,
    number: int,
    analyzer: Analyzer,
    *,
    limits: Limits,
    scratch: Path,
    tick: Callable[[int, int], None],
) -> Iterator[Outcome]:
    """Findings and pictures of a stored image. One that cannot be read is an outcome too (``failed``).

    Parameters
    ----------
    number: what messages call the image: the name it was uploaded under may be a patient's.
    limits: ``max_cine`` is how many frames a loop may have.
    scratch: folder for what is too much for memory; nothing stays in it.
    tick: told, after each frame of a loop, how many of how many are done; what it raises ends the analysis.
    """
    read = _read(path, kind, f"image {number}", limits)
    if isinstance(read, Loop):
        with analysed_loop(read, analyzer, scratch, tick) as outcome:
            yield outcome
    else:
        yield Outcome(report_item(read)) if isinstance(read, Report) else _analysed_still(read, analyzer)


def _read(path: Path, kind: str, name: str, limits: Limits) -> Loop | RawImage | Report:
    """A loop of several frames, a still, or why it is neither."""
    try:
        if kind == "DICOM":
            loop = open_loop(path, limits, name)
            if loop.count > 1:
                return loop
        return decode_image(path.read_bytes(), name, limits=limits)
    except ImageError as error:
        return Report(source=name, status="failed", notes=(str(error),))


def _analysed_still(raw: RawImage, analyzer: Analyzer) -> Outcome:
    report = with_text_note(analyzer.examine(raw)).report
    heat = report.prediction.heatmap if report.prediction and report.status == "analysed" else None
    return Outcome(
        item=report_item(report, certain=is_certain(report, analyzer.bundle)),
        picture=[picture_png(raw.pixels)],
        heatmap=None if heat is None else [heat_png(heat)],
    )

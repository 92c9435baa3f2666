"""From an analysis to DICOM objects: one entry point for the command line, the service and the gateway.

Findings make a segmentation (SEG), a structured report (SR) and a picture (SC); an image without findings an SR
that says so and an SC; an image that was not scored an SR that says why. The source is only read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydicom import Dataset

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.capture import make_capture
from senoscope.clinic.dicom.narrative import Told
from senoscope.clinic.dicom.report import make_report
from senoscope.clinic.dicom.segmentation import make_segmentation
from senoscope.clinic.dicom.skeleton import Making, need_highdicom, save
from senoscope.clinic.dicom.source import Source, read_source
from senoscope.errors import ImageError
from senoscope.inference.analyzer import Analysis
from senoscope.inference.bundle import Bundle
from senoscope.inference.cine import KeyFrame
from senoscope.schema import Prediction, Report


def write_objects(
    source: Path | Dataset | Source, analyses: Analysis | Iterable[Analysis], bundle: Bundle, out: Path
) -> list[Path]:
    """Write the objects of one image into ``out``/<hash of its study> and return their paths: all or none.

    Parameters
    ----------
    source: the image file, its header, or what ``read_source`` gave; never altered.
    analyses: the still's analysis, or one per frame of a cine in order. They may come from a generator: only the
        findings and the key frame's pixels are kept. Objects follow ``report.findings``, edited or not.
    bundle: the model that speaks.
    out: folder; made if need be. Same source, findings, bundle and version: same files, byte by byte.

    Raises
    ------
    ImageError: the source is no usable image, or the analyses are not of its frames.
    MissingExtraError: highdicom is not installed.
    """
    need_highdicom()
    making = Making(read_source(source), bundle)
    folder = out / identity.study_folder(making.header.StudyInstanceUID)
    written: list[Path] = []
    try:
        _write(making, [analyses] if isinstance(analyses, Analysis) else analyses, folder, written)
    except BaseException:  # whatever it was: half a set of objects is worse than none
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written


def _write(making: Making, analyses: Iterable[Analysis], folder: Path, written: list[Path]) -> None:
    stem = identity.short(making.header.SOPInstanceUID + identity.run_key(making.bundle))
    told: list[Told] = []
    contents: list[str] = []
    best = KeyFrame()
    for index, analysis in enumerate(analyses, start=1):
        frame = index if making.source.is_multiframe else 0
        _check(making, analysis, index)
        contents.append(identity.content_key(analysis.gray, analysis.report))
        if analysis.report.status == "analysed":
            outlines = make_segmentation(making, analysis.report, contents[-1], frame)
            if outlines is not None:
                suffix = f"-{frame:04d}" if frame else ""
                written.append(save(outlines, folder / f"{stem}-seg{suffix}.dcm"))
        best.offer(frame, analysis)
        told.append(Told(frame, _light(analysis.report)))
    if not told:
        raise ImageError(
            "nothing was analysed", expected="one analysis per frame", fix="analyse the image first"
        )
    written.append(save(make_report(making, told, contents, best.frame), folder / f"{stem}-sr.dcm"))
    key = best.analysis
    if key is not None and key.gray is not None:
        content = identity.content_key(key.gray, key.report)
        picture = make_capture(making, key.report, key.gray, content, best.frame)
        written.append(save(picture, folder / f"{stem}-sc.dcm"))


def _check(making: Making, analysis: Analysis, index: int) -> None:
    size = (int(making.header.Columns), int(making.header.Rows))
    if index > making.source.frames or (analysis.report.size or size) != size:
        raise ImageError(
            "the analysis is not of this image",
            expected=f"{making.source.frames} frame(s) of {size[0]}×{size[1]} pixels",
            fix="hand over the analyses of the very file that is named",
        )


def _light(report: Report) -> Report:
    """The report without its maps: a cine has hundreds of frames."""
    said: Prediction | None = report.prediction
    if said is not None:
        boxes = said.boxes if said.boxes is not None or said.lesion_map is None else ()
        said = replace(said, lesion_map=None, heatmap=None, boxes=boxes)  # still one that locates
    return replace(report, prediction=said)

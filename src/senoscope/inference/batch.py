"""Many images, one after another: finding the files, and never letting a bad one stop the good ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from senoscope.errors import SenoscopeError, UsageError
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.inference.cine import examine_file
from senoscope.inference.scope import text_note
from senoscope.schema import Report

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".dcm", ".dicom"})
_MASK = re.compile(r"_mask(_\d+)?$", re.IGNORECASE)


def find_images(paths: Sequence[str | Path], *, skip: Path | None = None) -> list[Path]:
    """The image and DICOM files among and below ``paths``, in natural order, each once.

    Files that are named are taken as they are. In folders, files count by suffix or, for DICOM without one, by
    content; masks (``*_mask.png``), hidden files and everything below ``skip`` are left out.
    Raises ``UsageError`` if there is nothing to analyse.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        for file in _walk(path, skip) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    if not found:
        raise UsageError(
            f"no images in {', '.join(str(path) for path in paths) or 'nothing'}",
            expected=f"files ending in {', '.join(sorted(SUFFIXES))}, or folders of them",
            fix="name the images, or the folder that holds them",
        )
    return list(found.values())


def examine_all(files: Iterable[Path], analyzer: Analyzer) -> Iterator[Analysis]:
    """Analyse files one by one, and note burnt-in text. A file that cannot be read becomes a report with status
    ``failed`` and why."""
    for file in files:
        try:
            yield with_text_note(examine_file(file, analyzer))
        except SenoscopeError as error:
            yield _failed(file, str(error))
        except OSError as error:
            yield _failed(file, f"{error.strerror or error}.")


def with_text_note(analysis: Analysis) -> Analysis:
    """The same analysis with a note beside its answer if text is burnt into the picture."""
    report = analysis.report
    if analysis.gray is None or report.prediction is None:
        return analysis
    quality = (*report.prediction.quality, *text_note(analysis.gray))
    return replace(analysis, report=replace(report, prediction=replace(report.prediction, quality=quality)))


def _failed(file: Path, why: str) -> Analysis:
    return Analysis(Report(source=str(file), status="failed", notes=(why,)))


def _walk(folder: Path, skip: Path | None) -> Iterator[Path]:
    avoided = skip.resolve() if skip else None
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            (name for name in folders if name[0] != "." and (Path(here) / name).resolve() != avoided),
            key=_natural,
        )
        for name in sorted(files, key=_natural):
            if name[0] != "." and _is_image(Path(here) / name):
                yield Path(here) / name


def _is_image(file: Path) -> bool:
    if file.suffix.lower() in SUFFIXES:
        return not _MASK.search(file.stem)
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which ``image 2`` comes before ``image 10``."""
    return [(int(part), "") if part.isdigit() else (-1, part.casefold()) for part in re.split(r"(\d+)", name)]

"""From files to a folder of results: report.html, findings.json, masks/, overlays/, heatmaps/."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import track

from senoscope._files import atomic_path
from senoscope.errors import UsageError
from senoscope.imaging.draw import mask_image, overlay
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.inference.batch import examine_all, find_images
from senoscope.inference.bundle import DEFAULT_BUNDLE, Bundle
from senoscope.reports.html import open_html
from senoscope.reports.json import open_json, report_item
from senoscope.reports.names import Names
from senoscope.reports.pictures import heat_picture, thinned

REPORT, FINDINGS = "report.html", "findings.json"
PICTURES = ("masks", "overlays", "heatmaps")


@dataclass(frozen=True, slots=True)
class Summary:
    """How a batch went: images by status, the files that could not be read and why, and where the results are.

    ``absent`` names what the model does not give.
    """

    out: Path
    counts: Mapping[str, int]
    failed: tuple[tuple[str, str], ...]
    seconds: float
    absent: tuple[str, ...] = ()

    @property
    def report(self) -> Path:
        """The page for a person."""
        return self.out / REPORT

    @property
    def findings(self) -> Path:
        """The document for a program."""
        return self.out / FINDINGS

    @property
    def exit_code(self) -> int:
        """1 if any file could not be read, else 0."""
        return 1 if self.failed else 0


def analyze_paths(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    bundle: str | Path | Bundle = DEFAULT_BUNDLE,
    threads: int | None = 2,
    overwrite: bool = False,
    progress: bool = True,
    on_item: Callable[[dict[str, Any]], None] | None = None,
) -> Summary:
    """Analyse image files and folders of them, and write a folder of results; memory stays flat.

    ``on_item`` receives each image's result as ``findings.json`` holds it. A file that cannot be read is listed by
    name and does not stop the rest. Raises ``UsageError`` if there is nothing to analyse or ``out`` holds results
    already and ``overwrite`` is false; ``BundleError`` if the bundle cannot be used.
    """
    target = Path(out)
    files = find_images(paths, skip=target)
    analyzer = Analyzer(bundle, threads)  # before anything of an earlier run is cleared away
    prepare_folder(target, overwrite=overwrite)
    items: Iterable[Analysis] = examine_all(files, analyzer)
    if progress:
        console = Console(stderr=True)
        items = track(
            items, "Analysing", total=len(files), console=console, transient=not console.is_terminal
        )
    return write_results(items, target, analyzer.bundle, on_item=on_item)


def write_results(
    items: Iterable[Analysis],
    out: Path,
    bundle: Bundle,
    *,
    title: str | None = None,
    on_item: Callable[[dict[str, Any]], None] | None = None,
) -> Summary:
    """Write analyses to ``out`` as they come; report and document appear when all are written."""
    start = time.perf_counter()
    names, failed = Names(), []
    with ExitStack() as stack:
        page = stack.enter_context(open_html(out / REPORT, bundle, title))
        document = stack.enter_context(open_json(out / FINDINGS, bundle))
        for analysis in items:
            report = analysis.report
            name = names.take(report.source)
            files = write_pictures(analysis, out, name) if report.status == "analysed" else {}
            doubt = report.prediction.uncertainty if report.prediction else None
            item = report_item(report, files, certain=doubt is None or doubt < bundle.card.uncertainty_limit)
            document.add(item)
            page.add(analysis, name)
            if report.status == "failed":
                failed.append((report.source, " ".join(report.notes)))
            if on_item:
                on_item(item)
        counts = document.counts
    return Summary(out, counts, tuple(failed), time.perf_counter() - start, bundle.card.absent)


def write_pictures(analysis: Analysis, out: Path, name: str) -> dict[str, str]:
    """Mask (0 and 255), overlay and heatmap of one analysed image as PNG at its original size; kind to path.

    No picture is written of what the model does not give.
    """
    report, gray, prediction = analysis.report, analysis.gray, analysis.report.prediction
    if gray is None or prediction is None:
        return {}
    pictures = {}
    if analysis.mask is not None:
        pictures["masks"] = mask_image(analysis.mask)
    if prediction.locates:
        shown = [replace(finding, contour=thinned(finding.contour)) for finding in report.findings]
        pictures["overlays"] = overlay(gray, shown)
    if prediction.heatmap is not None:
        pictures["heatmaps"] = heat_picture(gray, prediction.heatmap)
    written = {}
    for folder, picture in pictures.items():
        _save(picture, out / folder / f"{name}.png")
        written[folder.removesuffix("s")] = f"{folder}/{name}.png"
    return written


def prepare_folder(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds results, or clear away the pictures an earlier run listed in its findings.json."""
    if out.exists() and not out.is_dir():
        raise UsageError(
            f"'{out}' is a file", expected="a folder for the results", fix="name another with --out"
        )
    document = out / FINDINGS
    if not document.exists():
        return
    if not overwrite:
        raise UsageError(
            f"'{out}' already holds {FINDINGS}",
            expected="a new or empty folder",
            fix="name another folder with --out, or replace the results with --overwrite",
        )
    for path in _listed(document):
        kind, _, name = path.partition("/")
        if kind in PICTURES and name == Path(name).name and name.endswith(".png"):
            (out / kind / name).unlink(missing_ok=True)


def as_captioned(analysis: Analysis, *notes: str) -> Analysis:
    """The same analysis with more notes in its report."""
    return replace(analysis, report=replace(analysis.report, notes=(*analysis.report.notes, *notes)))


def _listed(document: Path) -> list[str]:
    try:
        items = json.loads(document.read_text(encoding="utf-8"))["items"]
        return [str(path) for item in items for path in item["files"].values()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # not ours, or cut short: nothing is removed on its word


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG", compress_level=3)

"""The demo: simulated exams, analysed with the shipped model, truth beside answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from senoscope._files import atomic_path
from senoscope.data.phantoms import Phantom, simulate
from senoscope.imaging.raw import RawImage
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.inference.bundle import DEFAULT_BUNDLE
from senoscope.reports.folder import Summary, as_captioned, prepare_folder, write_results
from senoscope.schema import CLASSES, BoolArray

SEED_STEP = 7919
"""Exams of neighbouring demo seeds share none of their phantoms."""


@dataclass(frozen=True, slots=True)
class Row:
    """One exam: what was simulated, what was found, and how well outlines agree (Dice; ``None`` without a lesion or
    an answer). ``found`` is ``None`` from a model that does not classify, ``findings`` from one that does not locate.
    """

    name: str
    truth: str
    found: str | None
    malignancy: float | None
    findings: int | None
    dice: float | None


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo's results."""

    summary: Summary
    rows: tuple[Row, ...]


def run_demo(out: str | Path, count: int = 6, *, seed: int = 1, bundle: str | Path = DEFAULT_BUNDLE) -> Demo:
    """Simulate ``count`` exams, the three classes in turn, analyse them and write the results to ``out``."""
    target = Path(out)
    analyzer = Analyzer(bundle)
    prepare_folder(target, overwrite=True)
    rows: list[Row] = []

    def analyses() -> Iterator[Analysis]:
        for index in track(
            range(count), "Simulating and analysing", console=Console(stderr=True), transient=True
        ):
            phantom = simulate(seed * SEED_STEP + index, CLASSES[index % len(CLASSES)])
            name = f"exam-{index + 1:02d}"
            _save(phantom, target / "exams" / f"{name}.png")
            raw = RawImage(phantom.image, phantom.spacing, "US", (), f"exams/{name}.png")
            analysis = analyzer.examine(raw)
            rows.append(_row(name, phantom, analysis))
            yield as_captioned(analysis, caption(rows[-1]))

    summary = write_results(analyses(), target, analyzer.bundle, title="Simulated breast ultrasound")
    return Demo(summary, tuple(rows))


def caption(row: Row) -> str:
    """What the report says of the truth."""
    overlap = "" if row.dice is None else f" Overlap of the outlines (Dice): {row.dice:.2f}."
    return f"Simulated, no patient. Truth: {row.truth}.{overlap}"


def dice(first: BoolArray, second: BoolArray) -> float | None:
    """Twice the common area over the sum of areas; ``None`` if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else None


def _row(name: str, phantom: Phantom, analysis: Analysis) -> Row:
    report = analysis.report
    answered = report.prediction if report.status == "analysed" else None
    return Row(
        name=name,
        truth=phantom.label,
        found=answered.label if answered else report.status,
        malignancy=answered.probability("malignant") if answered else None,
        findings=None if answered and not answered.locates else len(report.findings),
        dice=None if analysis.mask is None else dice(phantom.mask, analysis.mask),
    )


def _save(phantom: Phantom, path: Path) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(phantom.image).save(temporary, "PNG")

"""``senoscope demo``: the whole path on simulated exams."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    out: Path = typer.Option(
        Path("demo"), "--out", "-o", help="Folder for the results; earlier ones are replaced."
    ),
    count: int = typer.Option(6, min=1, max=500, help="How many exams to simulate."),
    seed: int = typer.Option(1, min=0, help="Another seed gives other exams."),
    bundle: str = typer.Option("senoscope-us", help="A shipped bundle's name, or a bundle's folder."),
) -> None:
    """Simulate normal, benign and malignant exams, analyse them with the shipped model and write a report.

    OUT then holds exams/ (the simulated images), report.html, findings.json and masks/. No patient data is involved.
    """
    from senoscope.reports.console import print_demo
    from senoscope.reports.demo import run_demo

    print_demo(run_demo(out, count, seed=seed, bundle=bundle))

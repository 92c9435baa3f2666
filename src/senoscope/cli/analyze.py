"""``senoscope analyze``: from pictures to a folder of results."""

from __future__ import annotations

import json as _json
from pathlib import Path
from typing import Any

import typer


def command(
    paths: list[Path] = typer.Argument(
        ..., help="Images, DICOM files or folders of them.", show_default=False
    ),
    out: Path = typer.Option(Path("senoscope-results"), "--out", "-o", help="Folder for the results."),
    bundle: str = typer.Option("senoscope-us", help="A shipped bundle's name, or a bundle's folder."),
    threads: int = typer.Option(2, min=1, max=64, help="CPU threads of the network."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that are already there."),
    json: bool = typer.Option(
        False, "--json", help="Print one line of JSON per image instead of a progress bar."
    ),
) -> None:
    """Find, outline and score lesions in breast ultrasound images, and write a report.

    OUT then holds report.html (one file that works offline), findings.json, masks/, overlays/ and heatmaps/.
    A file that cannot be read is named and does not stop the others; the exit code is then 1.
    For research use only, not a medical device.
    """
    from senoscope.reports.console import print_summary
    from senoscope.reports.folder import analyze_paths

    def event(item: dict[str, Any]) -> None:
        findings = item["findings"] and [
            {key: value for key, value in finding.items() if key != "contour"} for finding in item["findings"]
        ]
        typer.echo(_json.dumps({**item, "findings": findings}, ensure_ascii=False))

    summary = analyze_paths(
        paths,
        out,
        bundle=bundle,
        threads=threads,
        overwrite=overwrite,
        progress=not json,
        on_item=event if json else None,
    )
    if not json:
        print_summary(summary)
    raise typer.Exit(summary.exit_code)

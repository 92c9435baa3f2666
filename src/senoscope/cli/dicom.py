"""``senoscope dicom``: from DICOM images to segmentations, structured reports and pictures."""

from __future__ import annotations

import json as _json
from pathlib import Path
from typing import Any

import typer


def command(
    paths: list[Path] = typer.Argument(..., help="DICOM files or folders of them.", show_default=False),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the objects.", show_default=False),
    bundle: str = typer.Option("senoscope-us", help="A shipped bundle's name, or a bundle's folder."),
    threads: int = typer.Option(2, min=1, max=64, help="CPU threads of the network."),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON per file."),
) -> None:
    """Analyse DICOM images and write DICOM objects: SEG, SR and SC.

    OUT then holds one folder per study, named by a hash, and objects.json. Cine loops are read frame by frame.
    Sources are never altered. A file that cannot be used is named and does not stop the others; a study that mixes
    patients is left alone; the exit code is then 1. For research use only, not a medical device.
    """
    from senoscope.clinic.dicom.studies import process

    def event(item: dict[str, Any]) -> None:
        if json:
            typer.echo(_json.dumps(item, ensure_ascii=False))
        else:
            made = len(item.get("objects", ()))
            what = (
                f"{item['result']}, {item['findings']} finding(s), {made} object(s)"
                if made
                else item["status"]
            )
            typer.echo(f"{item['source']}: {what}" + (f" - {item['note']}" if item["note"] else ""))

    outcome = process(paths, out, bundle=bundle, threads=threads, on_item=event)
    if not json:
        counts = ", ".join(f"{count} {status}" for status, count in outcome.counts.items())
        typer.echo(f"{counts}; objects in {outcome.out} ({outcome.seconds:.1f} s). Research use only.")
    raise typer.Exit(outcome.exit_code)

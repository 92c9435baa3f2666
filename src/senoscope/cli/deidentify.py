"""``senoscope deidentify``: copies of DICOM images that name nobody."""

from __future__ import annotations

import json as _json
from pathlib import Path
from typing import Any

import typer


def command(
    folder: list[Path] = typer.Argument(..., help="Folders of DICOM images, or files.", show_default=False),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the copies.", show_default=False),
    key: Path | None = typer.Option(
        None, "--key", help="Secret key, made if it is not there: same pseudonyms and dates from run to run."
    ),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON per file."),
) -> None:
    """Copy DICOM images without what identifies the patient: DICOM PS3.15's basic profile, and clean pixels.

    Attributes that the table does not name are removed, dates are shifted, UIDs replaced, text in the pixels is
    blackened, and every copy is searched for what was removed before it is kept. Look at the pictures before
    you hand them on: no program finds all text. The exit code is 1 if a file was refused.
    """
    from senoscope.clinic.deidentify.folder import deidentify_folder

    def event(item: dict[str, Any]) -> None:
        if json:
            typer.echo(_json.dumps(item, ensure_ascii=False))
        elif item["note"]:
            typer.echo(f"{item['source']}: {item['status']} - {item['note']}")

    outcome = deidentify_folder(folder, out, key=key, on_item=event)
    if not json:
        counts = ", ".join(f"{count} {status}" for status, count in outcome.counts.items())
        typer.echo(f"{counts}; copies in {outcome.out}. Look at the pictures before you hand them on.")
    raise typer.Exit(outcome.exit_code)

"""``senoscope export``: a run in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]
Out = Annotated[Path | None, typer.Option(help="The bundle's folder; by default RUN/bundle.")]
Name = Annotated[str | None, typer.Option(help="The bundle's name; by default the recipe's.")]
Results = Annotated[Path | None, typer.Option(help="A JSON file of measured figures for the card.")]
Tables = Annotated[
    list[Path] | None,
    typer.Option(
        "--calibrate-on", help="A fold's predictions.parquet (repeat for each fold): calibrate out-of-fold."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the card as JSON; no progress bar.")]


def command(
    run: Run,
    out: Out = None,
    name: Name = None,
    results: Results = None,
    calibrate_on: Tables = None,
    as_json: AsJson = False,
) -> None:
    """Turn a finished run into a bundle (card, ONNX, safetensors) that analyses without torch."""
    from senoscope.export import export_run
    from senoscope.inference.bundle import load_bundle

    folder = export_run(
        run,
        out or run / "bundle",
        name=name,
        results=results,
        calibrate_on=calibrate_on or (),
        progress=not as_json,
    )
    card = load_bundle(folder).card
    if as_json:
        typer.echo(card.model_dump_json(indent=2))
        return
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    fitted = f", temperature {card.calibration.temperature:.2f}" if card.calibration else ""
    typer.echo(f"{card.name} {card.version}: {size:.1f} MB in {folder}{fitted}.")
    typer.echo(f"Use it with: senoscope analyze IMAGE --bundle {folder} --out DIR")

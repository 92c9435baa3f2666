"""``senoscope benchmark speed``: CPU milliseconds per image of every system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Systems = Annotated[
    list[str] | None,
    typer.Option("--systems", help="Systems, repeated or with commas; all of them if not given."),
]
Size = Annotated[int, typer.Option(min=1, help="Side of the square image, in pixels.")]
Out = Annotated[Path, typer.Option(help="The benchmark's folder: speed.json lies there.")]


def command(systems: Systems = None, size: Size = 128, out: Out = Path("benchmark")) -> None:
    """Time forward passes of one image (one thread, random weights); what is measured already is kept.

    Let nothing else run meanwhile. Stop it at any moment and start it again.
    """
    from senoscope import models
    from senoscope.benchmark.speed import SPEED, measure_speed

    named = [part for word in systems or () for part in word.split(",") if part]
    for name in named:
        models.info(name)  # a wrong name ends here, with the nearest right ones
    failed = 0
    for name, found in measure_speed(named or models.names(), size, out / SPEED):
        if isinstance(found, str):
            failed += 1
            typer.echo(f"{name}: {found}", err=True)
        else:
            typer.echo(f"{name:28} {found['median_ms']:9.1f} ms (95 %: {found['p95_ms']:.1f} ms)")
    if failed:
        raise typer.Exit(1)
    typer.echo(f"Speeds: {out / SPEED}")

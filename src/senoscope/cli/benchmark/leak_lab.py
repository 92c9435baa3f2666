"""``senoscope benchmark leak-lab``: how much of an accuracy is leakage, step by step."""

from __future__ import annotations

from typing import Annotated

import typer

from senoscope.cli.benchmark import run

Systems = Annotated[list[str], typer.Option("--systems", help="Classifiers, repeated or with commas.")]
DEFAULT = ["imagemasknet", "imagemasknet2", "senoscope-us"]


def command(
    systems: Systems = DEFAULT,
    data: run.Data = None,
    track: run.TrackName = "quick",
    out: run.Out = run.FOLDER,
    minutes: run.Minutes = float("inf"),
    threads: run.Threads = None,
    settings: run.Settings = None,
    variant: run.Variant = "",
    as_json: run.AsJson = False,
) -> None:
    """Train the systems with one leak more each time, and draw how their accuracy grows.

    Runs that are finished are taken as they are; what is missing is run, or left out with --minutes 0. A variant
    trained before is drawn too where it is named as SYSTEM+VARIANT.
    """
    from senoscope.benchmark.leak_lab import PUBLISHED, STEPS, leak_steps, write_lab
    from senoscope.benchmark.results import load_results

    names = {name for word in systems for name in word.split(",")}
    kept = {name for name in names if "+" in name}
    run.command(
        track=track,
        systems=sorted(names - kept),
        data=data,
        protocol=[*STEPS, PUBLISHED[0]],
        out=out,
        minutes=minutes,
        threads=threads,
        settings=settings,
        variant=variant,
        as_json=as_json,
    )
    shown = kept | {f"{name}+{variant}" if variant else name for name in names - kept}
    found = leak_steps(result for result in load_results(out / "results") if result.job.label in shown)
    write_lab(found, out)
    if as_json:
        import json

        typer.echo(json.dumps(found))
        return
    for label, steps in found.items():
        typer.echo(label)
        for step in steps:
            figure = step["accuracy"]
            interval = f"({figure['low']:.3f}–{figure['high']:.3f}), n = {figure['n']}"
            typer.echo(f"  {step['step']:34} {figure['value']:.3f} {interval}")
    typer.echo(f"Figure: {out / 'leak-lab.svg'}")

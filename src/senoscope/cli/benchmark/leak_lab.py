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

    Honest folds that `senoscope benchmark run` has finished are taken from there; what is missing is run.
    """
    from senoscope.benchmark.leak_lab import PUBLISHED, STEPS, leak_steps, write_lab
    from senoscope.benchmark.results import load_results

    run.command(
        track=track,
        systems=systems,
        data=data,
        protocol=[*STEPS, PUBLISHED[0]],
        out=out,
        minutes=minutes,
        threads=threads,
        settings=settings,
        variant=variant,
        as_json=as_json,
    )
    wanted = {name for word in systems for name in word.split(",")}
    found = leak_steps(r for r in load_results(out / "results") if r.job.system in wanted)
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

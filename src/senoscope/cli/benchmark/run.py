"""``senoscope benchmark run``: plan, say how long it takes, run what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from senoscope.benchmark.jobs import Job, Plan
    from senoscope.benchmark.runner import Bench

FOLDER = Path("benchmark")

TrackName = Annotated[str, typer.Option("--track", help="quick (128 px, 15 epochs) or full (as published).")]
Systems = Annotated[
    list[str] | None,
    typer.Option("--systems", help="Systems, repeated or with commas; all of them if not given."),
]
Data = Annotated[list[str] | None, typer.Option("--data", help="Datasets, as NAME or NAME=FOLDER.")]
ProtocolNames = Annotated[
    list[str] | None, typer.Option("--protocol", help="See: senoscope benchmark protocols.")
]
Folds = Annotated[list[int] | None, typer.Option("--fold", help="Only this fold; repeat for more.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Other seeds than the track's.")]
Out = Annotated[Path, typer.Option(help="The benchmark's folder: results/ and runs/ lie there.")]
Minutes = Annotated[float, typer.Option(help="Start nothing new after so many minutes.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of each training; all if not given.")]
Keep = Annotated[bool, typer.Option("--keep-runs", help="Keep the trained weights too (up to 400 MB a run).")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a recipe's key; needs --variant. Repeat for more."
    ),
]
Variant = Annotated[str, typer.Option(help="The name under which trainings with --set are kept and shown.")]
Cluster = Annotated[
    str | None, typer.Option(help="A Ray cluster's address, or 'local': several trainings at once.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its time, and run nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON line per event instead of a progress bar.")]


def command(
    track: TrackName = "quick",
    systems: Systems = None,
    data: Data = None,
    protocol: ProtocolNames = None,
    fold: Folds = None,
    seed: Seeds = None,
    out: Out = FOLDER,
    minutes: Minutes = float("inf"),
    threads: Threads = None,
    keep_runs: Keep = False,
    settings: Settings = None,
    variant: Variant = "",
    cluster: Cluster = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train and test systems by a protocol: what is missing is run, cheapest first.

    Stop it at any moment and start it again; started several times on one --out, the processes share the work.
    """
    from senoscope import models
    from senoscope.benchmark.jobs import TRACKS, make_plan
    from senoscope.benchmark.protocol import load_protocol
    from senoscope.benchmark.runner import Bench, check_changes
    from senoscope.errors import UsageError
    from senoscope.training.recipe import merged, parse_setting

    if track not in TRACKS:
        raise UsageError(f"there is no track '{track}'", expected="one of " + ", ".join(TRACKS))
    changes: dict[str, Any] = {}
    for setting in settings or ():
        changes = merged(changes, parse_setting(setting))
    if bool(changes) != bool(variant):
        raise UsageError(
            "--set without --variant" if changes else "--variant without --set",
            expected="both: results with other settings have a name of their own",
        )
    named = [item.partition("=") for item in _split(data) or ["busi"]]
    roots = {name: Path(folder) for name, mark, folder in named if mark}
    plan = make_plan(
        TRACKS[track],
        _split(systems) or models.names(),
        [name for name, _, _ in named],
        [load_protocol(name) for name in _split(protocol) or ["grouped-5fold"]],
        folds=fold or (),
        seeds=seed or (),
        variant=variant,
        roots=roots,
    )
    bench = Bench(out, roots, threads, keep_runs, changes)
    if changes:
        check_changes(plan, bench)
    missing = [job for job in plan.jobs if not bench.is_done(job)]
    _tell_plan(plan, missing, bench, as_json)
    if dry_run or not missing:
        return
    failed = _run(plan, bench, minutes, cluster, as_json)
    if failed:
        raise typer.Exit(1)


def protocols() -> None:
    """List the protocols: who is trained on, who is tested."""
    from senoscope.benchmark.protocol import load_protocol, names

    for name in names():
        row = load_protocol(name)
        typer.echo(f"{name:22} {row.title}{'' if row.honest else ' (leaks; stamped)'}")


def _split(words: list[str] | None) -> list[str]:
    return [part for word in words or () for part in word.split(",") if part]


def _tell_plan(plan: Plan, missing: list[Job], bench: Bench, as_json: bool) -> None:
    import json

    from senoscope.benchmark.cost import estimate
    from senoscope.benchmark.results import load_results

    seconds = estimate(plan, missing, load_results(bench.results)) if missing else 0.0
    if as_json:
        counts = {"jobs": len(plan.jobs), "missing": len(missing), "refused": plan.refused}
        typer.echo(json.dumps({"event": "plan", **counts, "seconds": round(seconds)}))
        return
    for reason in plan.refused:
        typer.echo(f"left out: {reason}")
    done = len(plan.jobs) - len(missing)
    runs = f"{len(plan.jobs)} run{'s' * (len(plan.jobs) != 1)}, {done} done"
    typer.echo(f"{runs}; what is missing takes about {_span(seconds)} here." if missing else f"{runs}.")


def _span(seconds: float) -> str:
    if seconds < 90:
        return "a minute"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def _run(plan: Plan, bench: Bench, minutes: float, cluster: str | None, as_json: bool) -> int:
    """Run the plan with a progress bar or JSON lines; the number of jobs that failed."""
    import json

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from senoscope.benchmark.runner import BUSY, DONE, run_plan

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failed = 0
    with Progress(*columns, console=Console(stderr=True), disable=as_json) as bar:
        whole = bar.add_task("runs", total=len(plan.jobs), completed=sum(map(bench.is_done, plan.jobs)))
        inner = bar.add_task("waiting", total=None)

        def tell(job: Job, epoch: int, epochs: int) -> None:
            bar.update(inner, description=str(job), completed=epoch, total=epochs)
            if as_json:
                typer.echo(json.dumps({"event": "epoch", "job": str(job), "epoch": epoch, "of": epochs}))

        if cluster is None:
            events: Any = run_plan(plan, bench, minutes=minutes, on_epoch=tell)
        else:
            from senoscope.benchmark.cluster import run_on_cluster

            events = run_on_cluster(plan, bench, cluster, minutes=minutes)
        for job, state in events:
            failed += state not in (DONE, BUSY)
            bar.update(whole, completed=sum(map(bench.is_done, plan.jobs)))
            if as_json:
                typer.echo(json.dumps({"event": "run", "job": str(job), "state": state}))
            elif state != DONE:
                typer.echo(f"{job}: {'another process is at it' if state == BUSY else state}", err=True)
    return failed

"""Running a plan: what is missing is run, cheapest first; stop and start as you like, in as many processes as you like.

A job's folder is locked while it runs, its training saves every epoch and resumes, and its result appears whole or not
at all. So a kill loses at most the epoch under way, and no two workers on one file system ever run the same job.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senoscope.benchmark.divisions import Division, Roots
from senoscope.benchmark.jobs import Job, Plan, settings, sources
from senoscope.benchmark.protocol import load_protocol
from senoscope.benchmark.results import keep, path_of
from senoscope.data.splits import save_split
from senoscope.errors import LockedError, SenoscopeError

if TYPE_CHECKING:
    from senoscope.training.recipe import Recipe

DONE, BUSY = "done", "busy"
_PATHS = ("encoder_weights", "init_weights")

OnEpoch = Callable[[Job, int, int], None]
"""Told a job, its finished epochs and all its epochs."""


@dataclass(frozen=True)
class Bench:
    """Where a benchmark lies and how its trainings use the machine. ``folder`` gets ``results/`` and ``runs/``.

    ``changes`` are keys of the recipe that differ from the systems' own; the jobs then carry a variant's name.
    """

    folder: Path
    roots: Roots = field(default_factory=dict)
    threads: int | None = None
    keep_runs: bool = False
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        """The folder of finished results, the only part worth keeping."""
        return self.folder / "results"

    def is_done(self, job: Job) -> bool:
        """Whether the job has its result."""
        return path_of(self.results, job).is_file()


def check_changes(plan: Plan, bench: Bench) -> None:
    """Raise ``ConfigError`` or ``UsageError`` for changed keys that a planned system's recipe refuses."""
    from senoscope.training.build import recipe_for

    for job in {job.system: job for job in plan.jobs}.values():
        division = plan.divisions[job.dataset, job.protocol, job.seed]
        recipe_for(job.system, list(division.sources), **(settings(job) | bench.changes))


def run_plan(
    plan: Plan, bench: Bench, *, minutes: float = float("inf"), on_epoch: OnEpoch | None = None
) -> Iterator[tuple[Job, str]]:
    """Run the plan's missing jobs one after another; yields each with :data:`DONE`, :data:`BUSY` (another
    process is at it) or what went wrong.

    After ``minutes`` no further job is started. A job that fails leaves the others running.
    """
    end = time.monotonic() + 60 * minutes
    for job in plan.jobs:
        if bench.is_done(job):
            continue
        if time.monotonic() > end:
            return
        try:
            run_job(job, plan.divisions[job.dataset, job.protocol, job.seed], bench, on_epoch)
            yield job, DONE
        except LockedError:
            yield job, BUSY
        except (SenoscopeError, RuntimeError, ValueError) as error:  # a network may refuse in its own words
            yield job, str(error)


def run_job(job: Job, division: Division, bench: Bench, on_epoch: OnEpoch | None = None) -> Path:
    """Train, predict and keep one job; the path of its result.

    Raises ``LockedError`` if another process is at it, and what training raises: ``ConfigError``, ``DivergedError``, …
    """
    from senoscope.training.runs import locked

    folder = bench.folder / "runs" / job.folder / job.stem
    with locked(folder):
        if not bench.is_done(job):
            _train_and_test(job, division, bench, folder / "run", on_epoch)
            if not bench.keep_runs:
                shutil.rmtree(folder / "run")
    return path_of(bench.results, job)


def _train_and_test(job: Job, division: Division, bench: Bench, run: Path, on_epoch: OnEpoch | None) -> None:
    from senoscope.evaluation.runs import predict_run
    from senoscope.training.loop import train
    from senoscope.training.runs import WEIGHTS

    recipe, protocol = _recipe(job, division, bench), load_protocol(job.protocol)

    def tell(row: dict[str, float]) -> None:
        if on_epoch is not None:
            on_epoch(job, int(row["epoch"]), recipe.epochs)

    if not (run / WEIGHTS).is_file():
        begun = (run / "recipe.yaml").is_file()
        train(recipe, run, resume=begun, allow_leaks=division.made, progress=False, on_epoch=tell)
    elsewhere = job.dataset not in division.sources
    table = predict_run(
        run,
        data=job.dataset if elsewhere else None,
        root=bench.roots.get(job.dataset) if elsewhere else None,
        in_sample=protocol.in_sample,
        masks=False,
        progress=False,
    )
    keep(table, job, _manifest(run, recipe), bench.results, protocol.stamps)


def _recipe(job: Job, division: Division, bench: Bench) -> Recipe:
    """The job's recipe; a split that the protocol makes is written first."""
    from senoscope.training.build import recipe_for
    from senoscope.training.recipe import DataSource

    split = None
    if division.made:
        split = bench.folder / "splits" / f"{division.split.name}-seed{job.seed}.csv"
        if not split.is_file():
            save_split(division.split, split)
    threads = {"threads": bench.threads} if bench.threads else {}
    recipe = recipe_for(job.system, list(division.sources), **(settings(job) | bench.changes | threads))
    data = tuple(DataSource(**source) for source in sources(job, division, split, bench.roots))
    return recipe.model_copy(update={"data": data})


def _manifest(run: Path, recipe: Recipe) -> dict[str, Any]:
    """The run's own manifest with its recipe (files by name, not by this machine's paths) and what its epochs took."""
    trained: dict[str, Any] = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    speeds = [json.loads(line)["images_per_second"] for line in lines]
    return trained | {
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True, exclude={"data", *_PATHS}),
        "weights": {key: path.name for key in _PATHS if (path := getattr(recipe, key))},
        "epochs": len(lines),
        "images_per_second": round(statistics.median(speeds), 2),
    }

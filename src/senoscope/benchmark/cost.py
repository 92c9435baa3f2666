"""How long a plan will take, from what finished jobs took on this machine."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.optimize import nnls

from senoscope import data
from senoscope.benchmark.divisions import Division
from senoscope.benchmark.jobs import TRACKS, Job, Plan
from senoscope.benchmark.results import Result
from senoscope.data.splits import load_split

UNKNOWN_MACHINE = (0.01, 0.03)
"""Seconds per image and epoch, and per giga multiply-add of it, where nothing has been run: one core of a server."""


def estimate(plan: Plan, jobs: Iterable[Job], known: Iterable[Result] = ()) -> float:
    """Seconds that ``jobs`` of a plan will take, one after another; a rough figure.

    A training of n images takes n × epochs × (a + b × GMACs); a and b are fitted, non-negative, to what is ``known``.
    """
    base, slope = _rates(list(known))
    total = 0.0
    for job in jobs:
        track, division = TRACKS[job.track], plan.divisions[job.dataset, job.protocol, job.seed]
        total += _images(job, division) * track.length(job.system) * (base + slope * track.gmacs(job.system))
    return total


def _images(job: Job, division: Division) -> int:
    """Images trained on, the few for validation included."""
    if job.dataset in division.sources:
        folds = [row.fold for row in division.split.rows if row.fold is not None]
        return sum(fold != job.fold for fold in folds) or len(folds)  # all, where they are tested too
    splits = (load_split(data.info(name).text("split")) for name in division.sources)
    return sum(row.fold is not None for split in splits for row in split.rows)


def _rates(known: list[Result]) -> tuple[float, float]:
    rows, seconds = [], []
    for result in known:
        images = result.manifest["cases"]["train"] * result.manifest["epochs"]
        rows.append((images, images * TRACKS[result.job.track].gmacs(result.job.system)))
        seconds.append(result.manifest["seconds"])
    if len(rows) < 3:
        return UNKNOWN_MACHINE
    # Relative errors count, or the few slowest systems alone would decide.
    found, _ = nnls(np.array(rows) / np.array(seconds)[:, None], np.ones(len(seconds)))
    return float(found[0]), float(found[1])

"""How long a plan will take, from what finished jobs took on this machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from senoscope import data
from senoscope.benchmark.divisions import Division
from senoscope.benchmark.jobs import TRACKS, Job, Plan
from senoscope.benchmark.results import Result
from senoscope.data.splits import load_split

ONE_CORE = (0.01, 0.03)
"""Seconds per image and epoch, and per giga multiply-add of it, on one core of a server."""


def estimate(plan: Plan, jobs: Iterable[Job], known: Iterable[Result] = ()) -> float:
    """Seconds that ``jobs`` of a plan will take, one after another; a rough figure.

    A system that is among the ``known`` takes as long per image as it took there. The others take what
    :data:`ONE_CORE` says for their multiply-adds, times what the known systems took of that in the median.
    """
    rates = _rates(known)
    machine = median(rate / _expected(*which) for which, rate in rates.items()) if rates else 1.0
    total = 0.0
    for job in jobs:
        which = job.track, job.system
        rate = rates.get(which, machine * _expected(*which))
        images = _images(job, plan.divisions[job.dataset, job.protocol, job.seed])
        total += images * TRACKS[job.track].length(job.system) * rate
    return total


def _expected(track: str, system: str) -> float:
    base, slope = ONE_CORE
    return base + slope * TRACKS[track].gmacs(system)


def _rates(known: Iterable[Result]) -> dict[tuple[str, str], float]:
    """Seconds per training image of each track and system.

    From the epochs' own speeds: the seconds of a whole run also hold its interruptions.
    """
    found = defaultdict(list)
    for result in known:
        found[result.job.track, result.job.system].append(1 / result.manifest["images_per_second"])
    return {which: median(rates) for which, rates in found.items()}


def _images(job: Job, division: Division) -> int:
    """Images trained on, the few for validation included."""
    if job.dataset in division.sources:
        folds = [row.fold for row in division.split.rows if row.fold is not None]
        return sum(fold != job.fold for fold in folds) or len(folds)  # all, where they are tested too
    splits = (load_split(data.info(name).text("split")) for name in division.sources)
    return sum(row.fold is not None for split in splits for row in split.rows)

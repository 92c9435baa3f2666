"""A plan run by a Ray cluster: the same jobs, the same files, several at once.

Each node needs Senoscope and the datasets; it runs a job in a folder of its own and sends the result back, so no shared
file system is needed. The process that was started writes every result.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from senoscope._files import atomic_path
from senoscope.benchmark.divisions import Division
from senoscope.benchmark.jobs import Job, Plan
from senoscope.benchmark.results import path_of
from senoscope.benchmark.runner import DONE, Bench, run_job
from senoscope.errors import MissingExtraError, SenoscopeError

NICE = 10
"""How far workers on this machine yield to others."""


def run_on_cluster(
    plan: Plan, bench: Bench, address: str, *, minutes: float = float("inf")
) -> Iterator[tuple[Job, str]]:
    """As :func:`runner.run_plan`, on the Ray cluster at ``address`` (``local`` starts one on this machine).

    A job takes ``bench.threads`` CPUs, one if not given, and on this machine yields to others (:data:`NICE`).
    Jobs that were under way when this process is stopped are lost; finished ones are kept. Raises
    ``MissingExtraError`` without Ray.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            "a cluster needs ray, which is not installed", fix="pip install 'senoscope[train,cluster]'"
        ) from None
    end = time.monotonic() + 60 * minutes
    # Ray's own 15, added to this process's, lets workers starve beside whatever else runs; elsewhere the nodes decide.
    os.environ.setdefault("RAY_worker_niceness", str(max(0, NICE - os.nice(0))))
    ray.init(address=None if address == "local" else address, include_dashboard=False, log_to_driver=False)
    try:
        work = ray.remote(num_cpus=bench.threads or 1, max_retries=2)(_work)
        waiting = [job for job in plan.jobs if not bench.is_done(job)]
        running: dict[Any, Job] = {}
        resources: Any = ray.cluster_resources  # Ray leaves it untyped
        slots = max(1, int(resources().get("CPU", 1)) // (bench.threads or 1))
        while running or (waiting and time.monotonic() < end):
            while waiting and len(running) < slots and time.monotonic() < end:
                job = waiting.pop(0)
                division = plan.divisions[job.dataset, job.protocol, job.seed]
                running[work.remote(job, division, replace(bench, threads=bench.threads or 1))] = job
            finished, _ = ray.wait(list(running), num_returns=1)
            job = running.pop(finished[0])
            yield job, _collect(ray.get, finished[0], path_of(bench.results, job))
    finally:
        ray.shutdown()


def _work(job: Job, division: Division, bench: Bench) -> bytes:
    """On a node: run one job in a folder that vanishes; the result file's bytes."""
    with tempfile.TemporaryDirectory() as folder:
        return run_job(job, division, replace(bench, folder=Path(folder))).read_bytes()


def _collect(get: Any, handle: Any, out: Path) -> str:
    """Write a finished job's result; ``DONE``, or what went wrong."""
    try:
        content: bytes = get(handle)
    except (
        SenoscopeError,
        RuntimeError,
        ValueError,
    ) as error:  # Ray's task errors are of the cause's class too
        return str(getattr(error, "cause", None) or error)
    with atomic_path(out) as temporary:
        temporary.write_bytes(content)
    return DONE

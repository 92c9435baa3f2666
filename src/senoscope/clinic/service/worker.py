"""What one worker process does: load the model once, then claim, analyse and finish images until told to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.processes import BUSY, IDLE, is_told_to_stop
from senoscope.clinic.service.analysis import analysed
from senoscope.clinic.service.blobs import Blobs, DiskFullError
from senoscope.clinic.service.database import open_database
from senoscope.clinic.service.errors import LostLeaseError
from senoscope.clinic.service.heartbeat import kept_alive
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.logs import where
from senoscope.clinic.service.progress import Teller
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.store import KIND, Store
from senoscope.errors import SenoscopeError
from senoscope.imaging.raw import Limits
from senoscope.inference.analyzer import Analyzer

WAKE, FINISHED = "wake", "finished"
"""The parent's word that there may be work, and the worker's that an exam's image is done."""

_LOG = logging.getLogger("senoscope.clinic.worker")
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to begin: plain values, because it is another process."""

    database: str
    blobs: Path
    incoming: Path
    bundle: str
    max_frames: int = Limits().max_cine


def run_worker(task: Task, pipe: Connection, name: str) -> None:
    """The process, until told to stop (see ``clinic.processes``)."""
    queue = Queue(open_database(task.database))
    store = Store(queue.engine, Blobs(task.blobs, task.incoming), queue, secret=b"")
    analyzer = Analyzer(task.bundle, threads=1)
    while True:
        job = _claimed(queue, name)
        if job is None:
            pipe.send((IDLE, ""))
            if is_told_to_stop(pipe, _LOOK):
                return
            continue
        busy = partial(pipe.send, (BUSY, job.payload["exam"]))
        busy()
        work_on(store, analyzer, job, limits=Limits(max_cine=task.max_frames), alive=busy)
        pipe.send((FINISHED, job.payload["exam"]))
        if is_told_to_stop(pipe):
            return


def _claimed(queue: Queue, name: str) -> Job | None:
    try:
        return queue.claim([KIND], name)
    except SQLAlchemyError as error:
        _LOG.warning("the database cannot be reached (%s)", type(error).__name__)
        return None


def work_on(
    store: Store,
    analyzer: Analyzer,
    job: Job,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen, so shared safely
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Analyse a claimed image and write its result, or give the job back with the reason.

    ``alive`` is called now and then while a loop is analysed: it may take longer than a hung worker is waited for.
    """
    exam, number = job.payload["exam"], job.payload["image"]
    try:
        with kept_alive(store.queue, job) as lost:
            image = store.image(exam, number)
            with analysed(
                store.blobs.path(image.content),
                image.kind,
                number,
                analyzer,
                limits=limits,
                scratch=store.blobs.incoming,
                tick=Teller(store.queue, job, lost, alive),
            ) as outcome:
                store.finish(job, outcome)
    except LostLeaseError:
        _LOG.info("a result came too late and was dropped: another worker has the image")
    except DiskFullError:
        _LOG.error("the disk is full: an image is tried again later")
        _give_back(store.queue, job, "the disk is full")
    except SenoscopeError as error:
        _give_back(store.queue, job, str(error))
    except Exception as error:  # whatever it is, the worker and the other images go on
        _LOG.error("an image failed unexpectedly: %s", where(error))
        _give_back(store.queue, job, where(error))


def _give_back(queue: Queue, job: Job, why: str) -> None:
    try:
        queue.fail(job, why)
    except SQLAlchemyError:
        _LOG.warning("the database cannot be reached; the lease runs out by itself")

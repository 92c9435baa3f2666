"""What one worker process does: load the model once, then claim, analyse and finish images until told to stop."""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.service.analysis import analyse
from senoscope.clinic.service.blobs import Blobs, DiskFullError
from senoscope.clinic.service.database import open_database
from senoscope.clinic.service.errors import LostLeaseError
from senoscope.clinic.service.heartbeat import kept_alive
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.logs import configure_logs, where
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.store import KIND, Store
from senoscope.errors import SenoscopeError
from senoscope.inference.analyzer import Analyzer

STOP, WAKE = "stop", "wake"
"""Words the parent says; the worker answers with ("idle" | "busy" | "finished", exam)."""

_LOG = logging.getLogger("senoscope.clinic.worker")
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to begin: plain values, because it is another process."""

    database: str
    blobs: Path
    bundle: str
    level: int = logging.INFO


def run_worker(task: Task, pipe: Connection, name: str) -> None:
    """The process: ends when told to, or when its parent is gone."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # these reach the whole group; the parent says when to stop
        signal.signal(number, signal.SIG_IGN)
    configure_logs(task.level)
    try:
        _run(task, pipe, name)
    except (EOFError, BrokenPipeError):
        return  # the parent was killed
    except Exception as error:  # Python would print it, with what it quotes
        _LOG.critical("worker %s cannot go on: %s", name, where(error))
        raise SystemExit(1) from None


def _run(task: Task, pipe: Connection, name: str) -> None:
    queue = Queue(open_database(task.database))
    store = Store(queue.engine, Blobs(task.blobs), queue, secret=b"")
    analyzer = Analyzer(task.bundle, threads=1)
    while True:
        job = _claimed(queue, name)
        if job is None:
            pipe.send(("idle", ""))
            if _told_to_stop(pipe, _LOOK):
                return
            continue
        pipe.send(("busy", job.payload["exam"]))
        work_on(store, analyzer, job)
        pipe.send(("finished", job.payload["exam"]))
        if _told_to_stop(pipe, 0):
            return


def _told_to_stop(pipe: Connection, seconds: float) -> bool:
    stop = False
    while pipe.poll(seconds):
        stop = pipe.recv() == STOP or stop
        seconds = 0
    return stop


def _claimed(queue: Queue, name: str) -> Job | None:
    try:
        return queue.claim([KIND], name)
    except SQLAlchemyError as error:
        _LOG.warning("the database cannot be reached (%s)", type(error).__name__)
        return None


def work_on(store: Store, analyzer: Analyzer, job: Job) -> None:
    """Analyse a claimed image and write its result, or give the job back with the reason."""
    exam, number = job.payload["exam"], job.payload["image"]
    try:
        with kept_alive(store.queue, job):
            image = store.image(exam, number)
            outcome = analyse(store.blobs.read(image.content), number, analyzer)
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

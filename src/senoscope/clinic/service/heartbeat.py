"""Keeping a job's lease alive while it is worked on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.queue import Queue


@contextmanager
def kept_alive(queue: Queue, job: Job) -> Iterator[threading.Event]:
    """Renew the lease three times within its length until the block ends; the event yielded is set if it is lost."""
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(queue.lease_s / 3):
            try:
                if not queue.heartbeat(job):
                    lost.set()
                    return
            except SQLAlchemyError:  # the database is away for a moment: the lease may well outlast that
                continue

    thread = threading.Thread(target=renew, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join(timeout=1)

"""How far the analysis of a loop has come: kept in the database, because the worker is another process, maybe another
server's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.service.database import writing
from senoscope.clinic.service.errors import LostLeaseError
from senoscope.clinic.service.jobs import JOBS, Job
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.tables import PROGRESS

_EVERY = 1.0

Progress = tuple[int, int]
"""Frames done, of how many."""


class Teller:
    """Told of every frame, says so at most once a second: to the database, and to ``alive``.

    Called with frames done and frames in all, it raises ``LostLeaseError`` when the job is no longer its own.
    """

    def __init__(self, queue: Queue, job: Job, lost: Event, alive: Callable[[], None]) -> None:
        self._queue, self._job, self._lost, self._alive = queue, job, lost, alive
        self._next = 0.0

    def __call__(self, done: int, frames: int) -> None:
        """A frame is done."""
        if self._lost.is_set():
            raise self._too_late()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        self._alive()
        with suppress(SQLAlchemyError):  # the database is away for a moment: the work goes on
            if not _write(self._queue, self._job, done, frames):
                raise self._too_late()

    def _too_late(self) -> LostLeaseError:
        return LostLeaseError("another worker has the image by now, or nobody needs it any more")


def forget(connection: Connection, exam: str, image: int | None = None) -> None:
    """Remove what was said of an image, or of all images of an exam."""
    query = delete(PROGRESS).where(PROGRESS.c.exam == exam)
    connection.execute(query if image is None else query.where(PROGRESS.c.image == image))


def progress_of(connection: Connection, exams: Sequence[str]) -> dict[tuple[str, int], Progress]:
    """Where the loops of some exams stand, by exam and image."""
    rows = connection.execute(select(PROGRESS).where(PROGRESS.c.exam.in_(exams)))
    return {(row.exam, row.image): (row.done, row.frames) for row in rows}


def total(parts: Sequence[Progress]) -> dict[str, int] | None:
    """Several loops' progress as one; ``None`` of no loop."""
    if not parts:
        return None
    return {"done": sum(done for done, _ in parts), "frames": sum(frames for _, frames in parts)}


def _write(queue: Queue, job: Job, done: int, frames: int) -> bool:
    """Write it, unless the job is gone; whether it was there."""
    exam, image = job.payload["exam"], job.payload["image"]
    with writing(queue.engine) as connection:
        mine = select(JOBS.c.id).where(JOBS.c.id == job.id, JOBS.c.lease == job.lease).with_for_update()
        if connection.execute(mine).first() is None:
            return False  # of an erased exam nothing may be written any more
        forget(connection, exam, image)
        connection.execute(insert(PROGRESS).values(exam=exam, image=image, done=done, frames=frames))
    return True

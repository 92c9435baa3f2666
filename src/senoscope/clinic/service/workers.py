"""Worker processes: started, told of new work, watched, and replaced when they die or hang.

One thread each, because two workers of one thread answer more images than one of two (docs/how-to/serve.md). A worker
that loses its parent ends after the image it is on; a job whose worker is killed is put back at once.
"""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess

from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.service.logs import where
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.worker import STOP, WAKE, Task, run_worker

_LOG = logging.getLogger("senoscope.clinic.workers")
_TICK = 0.25
_SLOWEST_RESTART = 30.0


@dataclass(slots=True)
class _Worker:
    name: str
    process: SpawnProcess
    pipe: Connection
    started: float
    ready: bool = False
    idle: bool = False
    busy_since: float | None = None


@dataclass(slots=True)
class _Slot:
    """One place for a worker, and how long to wait before it is filled again."""

    worker: _Worker | None = None
    not_before: float = 0.0
    delay: float = field(default=0.5)


class Workers:
    """``count`` worker processes on one queue.

    Parameters
    ----------
    prefix: begins every worker's name, and is this server's alone: jobs of such workers are put back at ``start``.
    on_finished: called, from another thread, with the exam of every image that ended.
    """

    def __init__(
        self,
        task: Task,
        queue: Queue,
        count: int,
        *,
        prefix: str,
        job_timeout: float,
        on_finished: Callable[[str], None],
    ) -> None:
        self._task, self._queue, self._prefix = task, queue, prefix
        self._job_timeout, self._on_finished = job_timeout, on_finished
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._slots = [_Slot() for _ in range(count)]
        self._lock = threading.Lock()
        self._missed = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)
        self._number = 0
        self.restarts = 0

    def start(self) -> None:
        """Start them, and put back what workers of an earlier life of this server still hold."""
        self._queue.release(self._prefix)
        self._thread.start()

    @property
    def ready(self) -> int:
        """How many have loaded the model and can work."""
        return sum(1 for slot in self._slots if slot.worker is not None and slot.worker.ready)

    @property
    def busy(self) -> int:
        """How many are on an image now."""
        return sum(1 for slot in self._slots if slot.worker and slot.worker.busy_since is not None)

    def wake(self) -> None:
        """Say that there is work; without it an idle worker looks once a second."""
        with self._lock:
            for slot in self._slots:
                if slot.worker is not None and slot.worker.idle:
                    slot.worker.idle = False
                    _send(slot.worker.pipe, WAKE)
                    return
            self._missed = True  # nobody was idle: the next to become so looks again

    def stop(self, timeout: float) -> bool:
        """Let each finish the image it is on, for at most ``timeout`` seconds; whether all did."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        for worker in workers:
            _send(worker.pipe, STOP)
        end = time.monotonic() + timeout
        for worker in workers:
            worker.process.join(max(0.0, end - time.monotonic()))
        late = [worker for worker in workers if worker.process.is_alive()]
        for worker in late:
            worker.process.kill()
            worker.process.join()
        self._queue.release(self._prefix)
        return not late

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look_after_all()
            except (
                Exception
            ) as error:  # whatever it was (no memory for a process, say), the next look may go well
                _LOG.error("looking after the workers failed: %s", where(error))
                self._stopping.wait(1.0)

    def _look_after_all(self) -> None:
        for slot in self._slots:
            if slot.worker is None and time.monotonic() >= slot.not_before:
                slot.worker = self._spawn()
        alive = {slot.worker.pipe: slot for slot in self._slots if slot.worker is not None}
        for pipe in wait(list(alive), timeout=_TICK):
            self._hear(alive[pipe])  # type: ignore[index]  # what was handed in comes back
        for slot in self._slots:
            if slot.worker is not None:
                self._check(slot, slot.worker)

    def _spawn(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        self._number += 1
        name = f"{self._prefix}{self._number};"  # ends with a mark, so that no name begins another
        process = self._context.Process(
            target=run_worker, args=(self._task, theirs, name), name=name, daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(name, process, ours, time.monotonic())

    def _hear(self, slot: _Slot) -> None:
        worker = slot.worker
        if worker is None:
            return
        try:
            what, exam = worker.pipe.recv()
        except (EOFError, OSError):
            return  # it is dead, or about to be: _check sees to it
        if what == "idle":
            worker.ready, worker.busy_since = True, None
            slot.delay = 0.5
            with self._lock:
                worker.idle = not self._missed
                if self._missed:
                    self._missed = False
                    _send(worker.pipe, WAKE)
        elif what == "busy":
            worker.idle, worker.busy_since = False, time.monotonic()
        elif what == "finished":
            worker.busy_since = None
            self._on_finished(exam)

    def _check(self, slot: _Slot, worker: _Worker) -> None:
        since = worker.busy_since
        if worker.process.is_alive():
            if since is None or time.monotonic() - since < self._job_timeout:
                return
            _LOG.warning("worker %s hung on an image and is replaced", worker.name)
            worker.process.kill()
            worker.process.join()
        else:
            _LOG.warning("worker %s ended with code %s and is replaced", worker.name, worker.process.exitcode)
        while worker.pipe.poll():  # what it said before it died
            try:
                what, exam = worker.pipe.recv()
            except (EOFError, OSError):
                break
            if what == "finished":
                self._on_finished(exam)
        worker.pipe.close()
        self.restarts += 1
        slot.worker = None
        slot.not_before = time.monotonic() + (0.0 if worker.ready else slot.delay)
        slot.delay = min(2 * slot.delay, _SLOWEST_RESTART)
        try:
            self._queue.release(worker.name)
        except SQLAlchemyError:
            _LOG.warning("the database is away; the lease of worker %s runs out by itself", worker.name)


def _send(pipe: Connection, word: str) -> None:
    with suppress(OSError):  # it is dead, which the watcher finds by itself
        pipe.send(word)

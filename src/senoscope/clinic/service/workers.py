"""Worker processes, and telling them of new work.

One thread each, because two workers of one thread answer more images than one of two (docs/how-to/serve.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from senoscope.clinic.processes import BUSY, IDLE, Child, Processes
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.worker import FINISHED, WAKE, Task, run_worker


class Workers:
    """``count`` worker processes on one queue.

    Parameters
    ----------
    prefix: begins every worker's name, and is this server's alone: jobs of such workers are put back at ``start``.
    job_timeout: seconds after which a worker that is still on the same image is replaced.
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
        self._on_finished = on_finished
        self._lock = threading.Lock()
        self._idle: set[Child] = set()
        self._missed = False
        targets = {f"worker-{number}": partial(run_worker, task) for number in range(1, count + 1)}
        self._processes = Processes(targets, queue, prefix=prefix, busy_s=job_timeout, on_word=self._hear)
        self.start, self.stop = self._processes.start, self._processes.stop

    @property
    def restarts(self) -> int:
        """How often one was replaced."""
        return self._processes.restarts

    @property
    def ready(self) -> int:
        """How many have loaded the model and can work."""
        return sum(child.up for child in self._processes.children)

    @property
    def busy(self) -> int:
        """How many are on an image now."""
        return sum(child.busy_since is not None for child in self._processes.children)

    def wake(self) -> None:
        """Say that there is work; without it an idle worker looks once a second."""
        with self._lock:
            while self._idle:
                if self._idle.pop().tell(WAKE):
                    return
            self._missed = True  # nobody was idle: the next to become so looks again

    def _hear(self, child: Child, word: str, exam: str) -> None:
        if word == FINISHED:
            self._on_finished(exam)
            return
        with self._lock:
            if word == BUSY:
                self._idle.discard(child)
            elif word == IDLE and self._missed:
                self._missed = False
                child.tell(WAKE)
            elif word == IDLE:
                self._idle.add(child)

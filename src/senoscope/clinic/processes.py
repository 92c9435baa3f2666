"""Child processes that work on a queue: started, heard, replaced when they die or hang, and stopped in time.

A child tells its parent what it is at by words in a pipe, and hears ``STOP`` in it. It outlives neither a limit on
how long it may be busy without a word, nor its parent: a job it held is put back at once, or when its lease runs out.
"""

from __future__ import annotations

import atexit
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.service.logs import OURS, configure_logs, where
from senoscope.clinic.service.queue import Queue

STOP = "stop"
"""The parent's word: end when what you are at is done."""

IDLE, BUSY = "idle", "busy"
"""A child's words, each with a detail: it has nothing to do; it begins something that must not take for ever."""

Target = Callable[[Connection, str], None]
"""What a child does, given its end of the pipe and its name, until it hears ``STOP``."""

_LOG = logging.getLogger("senoscope.clinic.processes")
_TICK = 0.25
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0


@dataclass(slots=True, eq=False)
class Child:
    """A place for a process, and the process that fills it."""

    name: str
    target: Target
    process: SpawnProcess | None = None
    pipe: Connection | None = None
    up: bool = False  # it has said a word, so it was able to start
    busy_since: float | None = None
    not_before: float = 0.0
    delay: float = _FIRST_DELAY

    def tell(self, word: str) -> bool:
        """Say a word to the process; whether there is one that can hear it."""
        pipe = self.pipe
        if pipe is None:
            return False
        try:
            pipe.send(word)
        except OSError:  # it is dead, which the watcher finds by itself
            return False
        return True


class Processes:
    """Processes by name, watched by a thread from ``start`` to ``stop``.

    Parameters
    ----------
    prefix: begins every process's full name, under which it takes jobs off ``queue``, and is this parent's alone.
    busy_s: how long a child may be busy without a word before it is killed and replaced.
    on_word: told, in the watching thread, every word of a child, with its detail.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        queue: Queue,
        *,
        prefix: str,
        busy_s: float = math.inf,
        on_word: Callable[[Child, str, str], None] = lambda *_: None,
    ) -> None:
        self._queue, self._prefix = queue, prefix
        self._busy_s, self._on_word = busy_s, on_word
        # A full name ends with a dot, so that none begins another.
        self.children = [Child(f"{prefix}{name}.", target) for name, target in targets.items()]
        self.restarts = 0
        self._context = multiprocessing.get_context("spawn")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="processes", daemon=True)

    def start(self) -> None:
        """Put back what processes of an earlier life still hold, and start everybody."""
        self._queue.release(self._prefix)
        atexit.register(self._abandon)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Let everybody finish what they are at, for so long, and kill the others; whether there were no others."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for child in self.children:
            if child.up:
                child.tell(STOP)
            else:  # still starting: it has nothing to finish, and would hear us late
                _kill(child)
        end = time.monotonic() + seconds
        while self._running() and (left := end - time.monotonic()) > 0:
            self._listen(min(left, _TICK))
        late = self._running()
        for child in late:
            _kill(child)
        self._release(self._prefix)
        return not late

    def _abandon(self) -> None:
        """Where the parent ends without ``stop``, by an exception: Python would wait for the children for ever."""
        self._stopping.set()
        for child in self._running():
            _kill(child)

    def _running(self) -> list[Child]:
        return [child for child in self.children if child.process is not None and child.process.is_alive()]

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                for child in self.children:
                    if child.process is None and time.monotonic() >= child.not_before:
                        self._spawn(child)
                self._listen(_TICK)
                for child in self.children:
                    self._check(child)
            except Exception as error:  # no memory for a process, say: the next look may go well
                _LOG.error("looking after the processes failed: %s", where(error))
                self._stopping.wait(1.0)

    def _spawn(self, child: Child) -> None:
        ours, theirs = self._context.Pipe()
        level = logging.getLogger(OURS).getEffectiveLevel()
        arguments = (child.target, theirs, child.name, level)
        process = self._context.Process(target=_live, args=arguments, name=child.name, daemon=True)
        process.start()
        theirs.close()
        child.process, child.pipe = process, ours

    def _listen(self, seconds: float) -> None:
        """Wait for words for so long, and hear those that came."""
        pipes = {child.pipe: child for child in self.children if child.pipe is not None}
        for pipe in wait(list(pipes), seconds):
            self._hear(pipes[pipe])  # type: ignore[index]  # what was handed in comes back

    def _hear(self, child: Child) -> bool:
        """Hear one word; ``False`` if there will be no more."""
        try:
            word, detail = child.pipe.recv()  # type: ignore[union-attr]  # the caller has seen it
        except (EOFError, OSError):
            child.pipe = None
            return False
        child.up, child.delay = True, _FIRST_DELAY
        child.busy_since = time.monotonic() if word == BUSY else None
        self._on_word(child, word, detail)
        return True

    def _check(self, child: Child) -> None:
        process, since = child.process, child.busy_since
        if process is None:
            return
        if since is not None and time.monotonic() - since > self._busy_s:
            _LOG.warning("process %s hung and is replaced", child.name)
        elif child.pipe is None or not process.is_alive():
            process.join(1.0)  # it may have hung up and not ended yet
            _LOG.warning("process %s ended with code %s and is replaced", child.name, process.exitcode)
        else:
            return
        _kill(child)
        while child.pipe is not None and child.pipe.poll() and self._hear(child):
            pass  # what it said before it died
        if not child.up:
            child.not_before = time.monotonic() + child.delay
            child.delay = min(2 * child.delay, _LONGEST_DELAY)
        child.process, child.pipe, child.up, child.busy_since = None, None, False, None
        self.restarts += 1
        self._release(child.name)

    def _release(self, name: str) -> None:
        try:
            self._queue.release(name)
        except SQLAlchemyError:
            _LOG.warning("the database is away; leases of %s run out by themselves", name)


def _kill(child: Child) -> None:
    if child.process is not None:
        child.process.kill()
        child.process.join()


def is_told_to_stop(pipe: Connection, seconds: float = 0.0) -> bool:
    """In a child: whether, within so long, the parent says anything, and if that was to stop."""
    while pipe.poll(seconds):
        if pipe.recv() == STOP:
            return True
        seconds = 0.0
    return False


def _live(target: Target, pipe: Connection, name: str, level: int) -> None:
    """A child's life. Nothing of an exception's text is printed: it may quote a patient."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # these reach the whole group; the parent says when to stop
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    configure_logs(level)
    try:
        target(pipe, name)
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
    except Exception as error:
        _LOG.critical("process %s cannot go on: %s", name, where(error))
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once: whatever is half done was not acknowledged, and is done again

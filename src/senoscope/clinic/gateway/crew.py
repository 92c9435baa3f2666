"""Processes of the gateway: started, watched, replaced when they die, and stopped in time."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.gateway.config import Config
from senoscope.clinic.service.queue import Queue

Role = Callable[[Config, Connection, str], None]

_LOG = logging.getLogger("senoscope.clinic.gateway.crew")
_STOP = "stop"
_TICK = 0.1
_SLOWEST_RESTART = 30.0
_HEALTHY = 10.0


def is_told_to_stop(pipe: Connection, seconds: float) -> bool:
    """In a process of the crew: whether the parent, within so long, says stop or is gone."""
    try:
        return pipe.poll(seconds) and pipe.recv() == _STOP
    except (EOFError, OSError):
        return True


@dataclass(slots=True)
class _Member:
    role: Role
    name: str
    process: SpawnProcess | None = None
    pipe: Connection | None = None
    started: float = 0.0
    not_before: float = 0.0
    delay: float = 0.5


class Crew:
    """Processes by name; ``watch`` must be called now and then.

    Full names begin with ``prefix``, this gateway's alone, and end with a dot, so that none begins another.
    """

    def __init__(self, config: Config, queue: Queue, roles: Mapping[str, Role], *, prefix: str) -> None:
        self._config, self._queue, self._prefix = config, queue, prefix
        self._context = multiprocessing.get_context("spawn")
        self._members = [_Member(role, f"{prefix}{name}.") for name, role in roles.items()]
        self._lock = threading.Lock()

    def start(self) -> None:
        """Take back what an earlier life still held, and start everybody."""
        self._queue.release(self._prefix)
        self.watch()

    def watch(self) -> None:
        """Replace those who died, with a delay that doubles if they do so at once."""
        with self._lock:
            now = time.monotonic()
            for member in self._members:
                process = member.process
                if process is not None and not process.is_alive():
                    _LOG.warning(
                        "process %s ended with code %s and is replaced", member.name, process.exitcode
                    )
                    self._bury(member)
                    member.delay = (
                        0.5 if now - member.started > _HEALTHY else min(2 * member.delay, _SLOWEST_RESTART)
                    )
                    member.not_before = now + member.delay - 0.5
                if member.process is None and now >= member.not_before:
                    self._spawn(member)

    def stop(self, seconds: float) -> bool:
        """Let everybody finish what they are at; whether all did within the time. The others are killed."""
        with self._lock:
            alive = [member for member in self._members if member.process is not None]
            for member in alive:
                with suppress(OSError, AttributeError):  # it is dead already
                    member.pipe.send(_STOP)  # type: ignore[union-attr]
            end, whole = time.monotonic() + seconds, True
            for member in alive:
                process = member.process
                assert process is not None  # noqa: S101 - chosen above
                process.join(max(0.0, end - time.monotonic()))
                if process.is_alive():
                    whole = False
                    process.kill()
                    process.join()
                self._bury(member)
            return whole

    def _spawn(self, member: _Member) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (self._config, theirs, member.name)
        process = self._context.Process(target=member.role, args=arguments, name=member.name, daemon=True)
        process.start()
        theirs.close()
        member.process, member.pipe, member.started = process, ours, time.monotonic()

    def _bury(self, member: _Member) -> None:
        if member.pipe is not None:
            member.pipe.close()
        member.process = member.pipe = None
        try:
            self._queue.release(member.name)
        except SQLAlchemyError:
            _LOG.warning("the database is away; the lease of %s runs out by itself", member.name)

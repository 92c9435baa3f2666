"""Locks between processes: one at work in a folder, or one at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from senoscope.errors import LockedError


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file ``path``, made if need be; it is free again when this process ends, however it ends.

    Raises ``LockedError`` if another process has it, unless told to wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedError(
                f"another process is at work in {path.parent}",
                expected="one at a time",
                fix="wait for it or stop it, or name another folder",
            ) from None
        yield
    finally:
        os.close(handle)

"""Servers that share a data folder: each has a name and a folder for what is on its way, both its own while it lives.

A server that lives holds the lock in its folder, which the system frees however it ends. So whoever finds a lock free
may remove what that server was receiving or writing.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

from senoscope._locks import locked
from senoscope.errors import LockedError

_LOCK = "lock"


class Life:
    """This server, from now until it ends: its ``name``, and ``incoming``, its own folder within ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.name = secrets.token_hex(8)
        self._folder, self._held = folder, ExitStack()
        self.incoming = folder / self.name
        with locked(folder / _LOCK, wait=True):  # nobody sweeps a folder that has no lock yet
            self.incoming.mkdir(mode=0o700)
            self._held.enter_context(locked(self.incoming / _LOCK))

    def end(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        self._held.close()

    def bury_the_dead(self) -> list[str]:
        """Remove the folders of servers that were killed; their names."""
        dead = []
        with locked(self._folder / _LOCK, wait=True):
            for path in self._folder.iterdir():
                if path.is_dir():
                    with suppress(LockedError), locked(path / _LOCK):
                        shutil.rmtree(path, ignore_errors=True)
                        dead.append(path.name)
        return dead

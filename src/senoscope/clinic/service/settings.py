"""What a server is told when it starts, and where its files are."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from senoscope._files import atomic_path
from senoscope._locks import locked
from senoscope.clinic.service.database import sqlite_url
from senoscope.errors import UsageError
from senoscope.imaging.raw import Limits
from senoscope.inference.bundle import DEFAULT_BUNDLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One server's settings; times in seconds, sizes in bytes.

    ``queue_limit`` is how many images may wait before uploads are refused; ``min_rate`` is the slowest a body may
    arrive after ``body_grace``; ``job_timeout`` is how long one image, or one frame of a loop, may take before its
    worker is replaced; ``max_frames`` is how many frames a loop may have. Exams older than ``keep_days`` are erased
    (``None``: kept for ever).
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8765
    database: str | None = None
    workers: int = 2
    bundle: str = DEFAULT_BUNDLE
    allowed_hosts: tuple[str, ...] = ()
    queue_limit: int = 64
    upload_limit: int = 8
    max_body: int = 64 * 1024**2
    max_json: int = 1024**2
    head_timeout: float = 10.0
    body_grace: float = 10.0
    min_rate: float = 16 * 1024.0
    job_timeout: float = 120.0
    max_frames: int = Limits().max_cine
    drain_timeout: float = 26.0
    keep_days: float | None = None

    @property
    def database_url(self) -> str:
        """``database``, or the SQLite file in the data folder."""
        return self.database or sqlite_url(self.data_dir / "service.sqlite")

    @property
    def shared(self) -> bool:
        """Whether other servers may use the same database and data folder."""
        return self.database_url.startswith("postgresql")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a request's Host header may give, without port, in lower case."""
        names = {"localhost", "127.0.0.1", "[::1]", *self.allowed_hosts}
        if self.host not in ("0.0.0.0", "::", ""):  # noqa: S104 - recognised, not bound
            names.add(f"[{self.host}]" if ":" in self.host else self.host)
        return frozenset(name.lower() for name in names)


@dataclass(frozen=True, slots=True)
class Folders:
    """The files of a data folder; ``open_folders`` makes what is missing, readable by this user alone."""

    root: Path
    blobs: Path = field(init=False)
    tokens: Path = field(init=False)
    audit: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blobs", self.root / "blobs")
        object.__setattr__(self, "tokens", self.root / "tokens.json")
        object.__setattr__(self, "audit", self.root / "audit.jsonl")

    def lock(self, *, shared: bool = False) -> int:
        """Take the folder for this process, until it ends, or take part in it where all do (``shared``).

        Raises ``UsageError`` if another server has it.
        """
        handle = os.open(self.root / "lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UsageError(
                f"another server is using '{self.root}'",
                expected="one server per data folder, or several that all use one PostgreSQL database",
                fix="stop it, or name another --data-dir",
            ) from None
        return handle

    def secret(self) -> bytes:
        """The key of sessions, CSRF tokens and exam ids: 32 random bytes, made once."""
        path = self.root / "secret"
        with locked(self.root / "secret.lock", wait=True):  # servers that start at once must have the same
            if not path.exists():
                with atomic_path(path) as temporary, temporary.open("wb") as stream:
                    temporary.chmod(0o600)
                    stream.write(secrets.token_bytes(32))
                    stream.flush()
                    os.fsync(stream.fileno())
        return path.read_bytes()


def open_folders(root: Path) -> Folders:
    """The data folder, made if need be (0700: exams are patients' data)."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Folders(root)

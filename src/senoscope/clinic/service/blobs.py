"""Files by the hash of their content: written whole, synced to disk, never overwritten."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from senoscope.clinic.service.errors import NotFoundError, ServiceError

_NAME = re.compile(r"[0-9a-f]{64}")


class DiskFullError(ServiceError):
    """There is no room for another file; nothing was kept of it."""

    status = 507


class Blobs:
    """A folder of files named by their SHA-256, in 256 subfolders.

    ``put`` returns only when the file, and the folder entry that names it, are on disk. Until then it is in
    ``incoming``, a folder on the same disk.
    """

    def __init__(self, folder: Path, incoming: Path | None = None) -> None:
        self._folder = folder
        self.incoming = incoming or folder / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)

    def put(self, chunks: Iterable[bytes]) -> str:
        """Keep bytes that come in pieces; their SHA-256. Raises ``DiskFullError``."""
        temporary = self.incoming / secrets.token_hex(12)
        digest = hashlib.sha256()
        try:
            with temporary.open("xb") as stream:
                for chunk in chunks:
                    digest.update(chunk)
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            name = digest.hexdigest()
            self._adopt(temporary, name)
        except OSError as error:
            refuse_if_full(error)
            raise
        finally:
            temporary.unlink(missing_ok=True)
        return name

    def path(self, name: str) -> Path:
        """Where a file is. Raises ``NotFoundError`` for a name that is none, or a file that is not there."""
        if not _NAME.fullmatch(name):
            raise NotFoundError("no such file")
        path = self._folder / name[:2] / name
        if not path.is_file():
            raise NotFoundError("no such file")
        return path

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises ``NotFoundError``."""
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:  # erased since it was looked for
            raise NotFoundError("no such file") from None

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self._folder / name[:2] / name).is_file()

    def remove(self, name: str) -> None:
        """Take a file away, if it is there; whoever may still need it is the caller's concern (see ``erasure``)."""
        if _NAME.fullmatch(name):
            (self._folder / name[:2] / name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Every file."""
        for folder in self._folder.glob("[0-9a-f][0-9a-f]"):
            yield from (path.name for path in folder.iterdir())

    def _adopt(self, temporary: Path, name: str) -> None:
        folder = self._folder / name[:2]
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            sync_folder(self._folder)
        if not (folder / name).exists():
            temporary.replace(folder / name)
        sync_folder(folder)


def refuse_if_full(error: OSError) -> None:
    """Raise ``DiskFullError`` if that is what an error means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise DiskFullError("the disk is full", fix="make room in the data folder") from None


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on disk: a rename is only then durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Taking an object in: judged, on disk and recorded before anybody is told that it is here."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import time
from pathlib import Path

from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.intake import Verdict
from senoscope.clinic.dicom.source import read_source
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.ledger import Ledger
from senoscope.clinic.gateway.tables import OBJECTS
from senoscope.clinic.service.blobs import DiskFullError
from senoscope.clinic.service.database import reading
from senoscope.errors import ImageError

STORED = (
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
)
"""The storage classes that are taken in; the node refuses all others in negotiation."""

_STALE_S = 3600.0


class Arrivals:
    """The door of the gateway. ``receive`` may be called by several threads at once.

    Parameters
    ----------
    reserve: bytes of the disk that stay free, for results and for the database.
    """

    def __init__(self, engine: Engine, folders: Folders, *, reserve: int) -> None:
        self.engine = engine
        self.folders = folders
        self._reserve = reserve
        self._ledger = Ledger(engine)

    def receive(self, path: Path, peer: str, instance_uid: str | None = None) -> Verdict:
        """Take in a file that lies in ``folders.incoming``; on disk, and recorded, when this returns.

        ``instance_uid`` is what the sender called it. ``SAME`` is the very object that was received before,
        ``CONFLICT`` another one under its identifier (nothing of it is kept), and ``MIXED`` one kept in quarantine.

        Raises ``ImageError`` for an object that cannot be used (no image, a missing or illegal UID, another UID than
        the sender said) and ``DiskFullError``; nothing is then kept of it.
        """
        if shutil.disk_usage(self.folders.root).free < self._reserve:
            raise DiskFullError("free space is below the reserve", fix="make room, or lower node.reserve_mb")
        source = read_source(path, "the object")
        uid = str(source.header.SOPInstanceUID)
        if instance_uid is not None and uid != instance_uid:
            raise ImageError("the object is not the one announced", expected="one SOP Instance UID")
        if source.header.SOPClassUID not in STORED:
            raise ImageError(
                "the object is not of a class that is taken in", expected="one that was negotiated"
            )
        content = _content(path)
        place = self.folders.object(identity.short(uid), content)
        try:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
            path.replace(place)  # flushed before: it may replace the same object, which was acknowledged
            verdict = self._ledger.record(place, source, content, peer)
        except (OSError, OperationalError) as error:
            if _is_full(error):
                raise DiskFullError("the disk is full", fix="make room in the data folder") from None
            raise
        if verdict == Verdict.CONFLICT:
            place.unlink(missing_ok=True)
        return verdict

    def holds(self, uid: str) -> bool:
        """Whether an object of this SOP Instance UID is here."""
        query = select(OBJECTS.c.instance).where(OBJECTS.c.instance == identity.short(uid))
        with reading(self.engine) as connection:
            return connection.execute(query).first() is not None

    def sweep(self, older_s: float = _STALE_S) -> int:
        """Remove what was being received when a peer or an earlier gateway went away; how many files that were."""
        old = time.time() - older_s
        left = [path for path in self.folders.incoming.iterdir() if path.stat().st_mtime <= old]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _is_full(error: OSError | OperationalError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _content(path: Path) -> str:
    """SHA-256 of the data set without the file's header, which names the software that wrote it."""
    with path.open("rb") as stream:
        start = stream.read(144)  # preamble, mark and the length of the file meta information
        stream.seek(144 + int.from_bytes(start[140:144], "little"))
        return hashlib.file_digest(stream, "sha256").hexdigest()

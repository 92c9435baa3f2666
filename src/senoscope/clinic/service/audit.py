"""The audit log: who did what when, as JSON lines each of which carries the hash of the one before.

Event names are those of DICOM PS3.15 Annex A.5 (after RFC 3881). Changing, removing or moving any line breaks the chain
from there on; cutting lines off the end cannot be seen from the file alone, so copy the last hash elsewhere now and
then (``senoscope serve --verify-audit`` prints it). Nothing of a patient is in it: exams are named by their ids.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from senoscope.clinic.service.blobs import refuse_if_full
from senoscope.clinic.service.errors import AuditError

START, STOP = "Application Start", "Application Stop"
LOGIN = "User Authentication"
IMPORT, EXPORT = "Import", "Export"
ACCESS, QUERY = "DICOM Instances Accessed", "Query"
DELETED = "DICOM Study Deleted"
ALERT = "Security Alert"
USED = "Audit Log Used"

_FIRST = "0" * 64
_TAIL = 65536


@dataclass(frozen=True, slots=True)
class Verified:
    """A whole chain: how many lines, and the hash of the last."""

    lines: int
    last: str


class AuditLog:
    """Appends to ``path``; several processes may, each line whole and on disk before ``write`` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def write(
        self,
        event: str,
        *,
        action: str,
        user: str = "",
        role: str = "",
        source: str = "",
        subject: str = "",
        outcome: int = 0,
    ) -> None:
        """Add a line. ``action`` is C, R, U, D or E(xecute); ``outcome`` 0 success, 4 minor, 8 serious failure
        (PS3.15 A.5.1). ``subject`` is an exam's id, ``source`` a network address. Raises ``DiskFullError``."""
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "action": action,
            "outcome": outcome,
            "user": user,
            "role": role,
            "source": source,
            "subject": subject,
        }
        with self._lock:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                number, previous = _tail(handle)
                line = _line({"n": number + 1, **record, "previous": previous})
                _append(handle, line)
            finally:
                os.close(handle)


def verify(path: Path) -> Verified:
    """Check every line. Raises ``AuditError`` naming the first that was altered, or that follows a gap."""
    previous, number = _FIRST, 0
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, 1):
            try:
                record = json.loads(raw)
                claimed = record.pop("hash")
                whole = _line(record) == raw and record["n"] == number and record["previous"] == previous
            except (ValueError, KeyError, AttributeError, TypeError):
                claimed, whole = "", False
            if not whole:
                raise AuditError(
                    f"line {number} of {path.name} was altered, or lines before it are missing",
                    expected="an unbroken chain of hashes",
                    fix="compare it with a copy; what comes after that line is not to be believed",
                )
            previous = claimed
    return Verified(number, previous)


def _line(record: dict[str, object]) -> bytes:
    """A record with its hash, which is over its canonical JSON, the previous line's hash included."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return json.dumps({**record, "hash": digest}).encode("ascii") + b"\n"


def _append(handle: int, line: bytes) -> None:
    """Write a whole line, or none."""
    size = os.fstat(handle).st_size
    try:
        if os.write(handle, line) < len(line):
            raise OSError(errno.ENOSPC, "")
        os.fsync(handle)
    except OSError as error:
        os.ftruncate(handle, size)
        refuse_if_full(error)
        raise


def _tail(handle: int) -> tuple[int, str]:
    """Number and hash of the last line. A line cut short by a crash was never acknowledged and is taken away."""
    size = os.fstat(handle).st_size
    start = max(0, size - _TAIL)
    data = os.pread(handle, size - start, start)
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.ftruncate(handle, start + len(whole))
    if not whole:
        return 0, _FIRST
    last = json.loads(whole.rstrip(b"\n").rpartition(b"\n")[2])
    return int(last["n"]), str(last["hash"])

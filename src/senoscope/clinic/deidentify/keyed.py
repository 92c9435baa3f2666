"""Pseudonyms from a secret key: the same patient, UID and day get the same stand-ins wherever the key is the same.

HMAC-SHA-256 (RFC 2104) makes them; without the key nobody can tell which patient a pseudonym stands for, not even by
trying every identifier.
"""

from __future__ import annotations

import hmac
import os
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from senoscope.errors import UsageError

_MOST_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Key:
    """A secret. ``Key(secrets.token_bytes(32))`` is consistent for as long as it is kept."""

    secret: bytes

    def digest(self, kind: str, value: str) -> bytes:
        """Thirty-two bytes that stand for a value of a kind."""
        return hmac.digest(self.secret, f"{kind}\0{value}".encode(), "sha256")

    def uid(self, value: str) -> str:
        """A UUID-derived UID (PS3.5 B.2) in place of another."""
        return f"2.25.{uuid.UUID(bytes=self.digest('uid', value)[:16], version=5).int}"

    def patient(self, identifier: str) -> str:
        """A pseudonym: ``P`` and twelve hexadecimal digits."""
        return "P" + self.digest("patient", identifier).hex()[:12].upper()

    def days(self, identifier: str) -> int:
        """By how many days a patient's dates move into the past: 1 to 3,650."""
        return 1 + int.from_bytes(self.digest("days", identifier)[:8], "big") % _MOST_DAYS

    def shifted(self, value: str, identifier: str) -> str:
        """A DA or DT value moved; the intervals between a patient's dates stay. Empty where it is no date."""
        try:
            day = datetime.strptime(value[:8], "%Y%m%d") - timedelta(days=self.days(identifier))
        except (ValueError, OverflowError):
            return ""
        return f"{day:%Y%m%d}" + value[8:].partition("+")[0].partition("-")[0]


def new_key() -> Key:
    """A key for one run, forgotten after it."""
    return Key(secrets.token_bytes(32))


def load_key(path: Path, *, outside: Path) -> Key:
    """The key in a file of 64 hexadecimal digits, made (readable by its owner alone) if it is not there.

    Raises ``UsageError`` if it is no key, or lies in ``outside``: a key among the results would undo them.
    """
    if path.resolve().is_relative_to(outside.resolve()):
        raise UsageError(
            "the key would lie among the de-identified files",
            expected="a place that is never handed on with them",
            fix="name another file with --key",
        )
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(32) + "\n")
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise UsageError(
            f"'{path}' holds no key",
            expected="64 hexadecimal digits",
            fix="name a new file: it is made for you",
        )
    return Key(secret)

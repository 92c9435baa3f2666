"""How a case is known again, so that no network is tested on what it has seen.

A public dataset's ids name the same image everywhere. Those of a user's own folder or table do not: ``benign/1.png`` is
another image at the next hospital, and the same image after a rename has another name. There the file's content tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

from senoscope import data as datasets
from senoscope._files import sha256_file
from senoscope.schema import Record

_PREFIX, _DIGITS = "sha256:", 16


@cache
def own_datasets() -> tuple[str, ...]:
    """The names under which users bring their own data: those that no owner packs (``folder``, ``table``)."""
    return tuple(name for name in datasets.names() if not datasets.info(name).text("folder"))


def identity(record: Record) -> str:
    """A case's id or, in a user's own data, ``sha256:`` and the first 16 digits of its image file's hash.

    A file that cannot be read is known by its id, and whoever reads its pixels will say what is wrong with it.
    """
    if record.dataset not in own_datasets():
        return record.id
    try:
        state = record.image.stat()
        return _digest(record.image, state.st_mtime_ns, state.st_size)
    except OSError:
        return record.id


@lru_cache(maxsize=100_000)
def _digest(path: Path, _changed: int, _size: int) -> str:
    return _PREFIX + sha256_file(path)[:_DIGITS]


def is_digest(key: str) -> bool:
    """Whether an identity is a file's content."""
    return key.startswith(_PREFIX)


def cases_hash(records: Iterable[Record]) -> str:
    """Hex SHA-256 over the cases, whatever their order."""
    listed = "\n".join(sorted(f"{record.dataset}\t{identity(record)}" for record in records))
    return hashlib.sha256(listed.encode()).hexdigest()

"""Which stored files are referred to, and removing those that are not.

Files are shared by content, and are stored before a transaction refers to them. So whoever refers to files makes sure,
under ``lock_files``, that they are still there, and whoever removes some, under the same lock, that nobody refers to
them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, or_, select

from senoscope.clinic.service.blobs import Blobs
from senoscope.clinic.service.database import lock_files, reading, writing
from senoscope.clinic.service.errors import BusyError
from senoscope.clinic.service.tables import EXAMS, IMAGES

OF_IMAGE = (IMAGES.c.content, IMAGES.c.result, IMAGES.c.picture, IMAGES.c.heatmap)
_ALL = (*OF_IMAGE, EXAMS.c.card)
_AT_ONCE = 200


def hold(connection: Connection, blobs: Blobs, names: Iterable[str | None]) -> None:
    """Keep stored files until the transaction ends, which refers to them.

    Raises ``BusyError`` if one was removed since it was stored: somebody erased the only exam that had it.
    """
    lock_files(connection, shared=True)
    if not all(blobs.has(name) for name in names if name):
        raise BusyError(
            "a file with the same content was being erased", retry_after=1, fix="send the images again"
        )


def discard(engine: Engine, blobs: Blobs, names: Iterable[str | None]) -> None:
    """Remove those of some files that nobody refers to."""
    with writing(engine) as connection:
        lock_files(connection, shared=False)
        remove_unused(connection, blobs, names)


def remove_unused(connection: Connection, blobs: Blobs, names: Iterable[str | None]) -> None:
    """The same within a transaction that has ``lock_files``."""
    for name in filter(None, names):
        used = or_(*(select(column).where(column == name).exists() for column in _ALL))
        if not connection.execute(select(used)).scalar_one():
            blobs.remove(name)


def discard_orphans(engine: Engine, blobs: Blobs) -> None:
    """Remove every file nobody refers to: of uploads and results whose server was killed before it said so."""
    with reading(engine) as connection:
        used = {name for column in _ALL for name in connection.execute(select(column)).scalars()}
    orphans = [name for name in blobs.names() if name not in used]
    for start in range(0, len(orphans), _AT_ONCE):  # uploads go on in between
        discard(engine, blobs, orphans[start : start + _AT_ONCE])

"""A database and the data folder whose files it names belong together."""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine, select

from senoscope.clinic.service.database import insert_new, writing
from senoscope.clinic.service.tables import HOME
from senoscope.errors import ConfigError


def settle(engine: Engine, secret: bytes) -> None:
    """Bind a database to a data folder, by its ``secret``. Raises ``ConfigError`` if it is bound to another.

    Without this a server of another folder would take images off the queue whose files it has not.
    """
    ours = hashlib.sha256(b"home:" + secret).hexdigest()
    with writing(engine) as connection:
        insert_new(connection, HOME, {"one": 1, "folder": ours})
        bound = connection.execute(select(HOME.c.folder)).scalar_one()
    if bound != ours:
        raise ConfigError(
            "the database belongs to another data folder",
            expected="the --data-dir it was first used with; servers that share a database share that folder too",
            fix="name that folder, or use an empty database",
        )

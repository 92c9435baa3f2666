"""Studies that mix patients: held back until an operator has looked."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, select, update

from senoscope.clinic.gateway.completeness import ANALYZE
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import send_kind
from senoscope.clinic.gateway.retention import remove_study
from senoscope.clinic.gateway.tables import ANYBODY, OBJECTS, QUARANTINED, SERIES, STUDIES, WAITING
from senoscope.clinic.service import jobs
from senoscope.clinic.service.database import reading, writing
from senoscope.clinic.service.jobs import JOBS
from senoscope.errors import UsageError


def is_quarantined(connection: Connection, study: str) -> bool:
    """Whether a study mixes patients."""
    query = select(STUDIES.c.mixed).where(STUDIES.c.study == study)
    return bool(connection.execute(query).scalar_one_or_none())


def quarantined(engine: Engine, folders: Folders) -> dict[str, list[Path]]:
    """Studies in quarantine, with the files of each."""
    query = select(OBJECTS).where(OBJECTS.c.state == QUARANTINED).order_by(OBJECTS.c.received)
    found: dict[str, list[Path]] = {}
    with reading(engine) as connection:
        for row in connection.execute(query):
            found.setdefault(str(row.study), []).append(folders.object(row.instance, row.content))
    return found


def release(engine: Engine, study: str) -> None:
    """Let a study go its way: an operator says that it is one patient's, under whichever identifiers.

    What was held back is analysed and sent. Raises ``UsageError`` if it is not in quarantine.
    """
    now = time.time()
    with writing(engine) as connection:
        _check(connection, study)
        mine = OBJECTS.c.study == study
        held = select(OBJECTS.c.instance).where(mine, OBJECTS.c.state == QUARANTINED)
        every = select(OBJECTS.c.instance).where(mine)
        ended = JOBS.c.state == jobs.DONE
        # Jobs that were under way when the second patient came have ended without a result, or without sending it.
        connection.execute(delete(JOBS).where(JOBS.c.kind == ANALYZE, JOBS.c.key.in_(held), ended))
        sends = JOBS.c.kind.startswith(send_kind("")) & JOBS.c.key.in_(every) & ended
        again = {"state": jobs.QUEUED, "attempts": 0, "run_after": now, "updated": now}
        connection.execute(update(JOBS).where(sends).values(again))
        series = select(OBJECTS.c.series).where(mine)
        connection.execute(update(SERIES).where(SERIES.c.series.in_(series)).values(last=0.0))
        connection.execute(update(OBJECTS).where(OBJECTS.c.instance.in_(held)).values(state=WAITING))
        connection.execute(
            update(STUDIES).where(STUDIES.c.study == study).values(mixed=False, patient=ANYBODY)
        )


def discard(engine: Engine, folders: Folders, study: str) -> None:
    """Delete a study that is in quarantine, and forget it. Raises ``UsageError`` if it is not there."""
    with writing(engine) as connection:
        _check(connection, study)
        remove_study(connection, folders, study)


def _check(connection: Connection, study: str) -> None:
    if not is_quarantined(connection, study):
        raise UsageError(
            "there is no such study in quarantine",
            expected="one that 'senoscope gateway quarantine list' names",
        )

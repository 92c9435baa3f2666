"""Deleting studies: those that were delivered long enough ago, and those that an operator discards."""

from __future__ import annotations

import shutil
import time

from sqlalchemy import Connection, delete, func, or_, select

from senoscope.clinic.gateway.completeness import ANALYZE, COUNT
from senoscope.clinic.gateway.config import Config
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import send_kind
from senoscope.clinic.gateway.tables import OBJECTS, QUEUED, SENT, SERIES, STUDIES
from senoscope.clinic.service.blobs import sync_folder
from senoscope.clinic.service.database import reading, writing
from senoscope.clinic.service.jobs import DONE, JOBS
from senoscope.clinic.service.queue import Queue

_DAY_S = 86_400.0


def remove_delivered(config: Config, queue: Queue) -> int:
    """Delete studies that were done with ``config.keep_days`` ago; how many.

    Done with means: every object was analysed, and every destination of the configuration acknowledged the results.
    A study in quarantine, or with a dead letter, is never done with.
    """
    if config.keep_days is None:
        return 0
    before = time.time() - config.keep_days * _DAY_S
    folders, kinds = Folders(config.data_dir), [ANALYZE, *(send_kind(d.name) for d in config.destinations)]
    waiting = select(OBJECTS.c.study).where(OBJECTS.c.state != QUEUED)
    old = select(OBJECTS.c.study).group_by(OBJECTS.c.study).having(func.max(OBJECTS.c.received) <= before)
    with reading(queue.engine) as connection:
        candidates = connection.execute(old.where(OBJECTS.c.study.not_in(waiting))).scalars().all()
    removed = 0
    for study in candidates:
        with writing(queue.engine) as connection:
            if _is_done_with(connection, study, before, kinds):
                remove_study(connection, folders, study)
                removed += 1
    return removed


def _is_done_with(connection: Connection, study: str, before: float, kinds: list[str]) -> bool:
    mine = OBJECTS.c.study == study
    lately = select(OBJECTS.c.instance).where(
        mine, or_(OBJECTS.c.received > before, OBJECTS.c.state != QUEUED)
    )
    jobs = JOBS.c.kind.in_(kinds) & JOBS.c.key.in_(select(OBJECTS.c.instance).where(mine))
    open_jobs = select(JOBS.c.id).where(jobs, or_(JOBS.c.state != DONE, JOBS.c.updated > before))
    return connection.execute(lately).first() is None and connection.execute(open_jobs).first() is None


def remove_study(connection: Connection, folders: Folders, study: str) -> None:
    """Delete a study's files, then forget it, within the caller's writing transaction.

    Files go first: what a crash leaves is known, and deleted next time. The transaction keeps the ledger from
    acknowledging an object of the study meanwhile (``Ledger`` looks whether the file is there).
    """
    mine = OBJECTS.c.study == study
    for row in connection.execute(select(OBJECTS.c.instance, OBJECTS.c.content).where(mine)).all():
        folders.object(row.instance, row.content).unlink(missing_ok=True)
    if (folders.results / study).exists():
        shutil.rmtree(folders.results / study)
    sync_folder(folders.objects)
    sync_folder(folders.results)
    instances, series = (select(column).where(mine) for column in (OBJECTS.c.instance, OBJECTS.c.series))
    kinds = or_(JOBS.c.kind == ANALYZE, JOBS.c.kind.startswith(send_kind("")))
    connection.execute(delete(JOBS).where(kinds, JOBS.c.key.in_(instances)))
    connection.execute(delete(JOBS).where(JOBS.c.kind == COUNT, JOBS.c.key.in_(series)))
    connection.execute(delete(SERIES).where(SERIES.c.series.in_(series)))
    connection.execute(delete(SENT).where(SENT.c.file.startswith(f"{study}/")))
    connection.execute(delete(OBJECTS).where(mine))
    connection.execute(delete(STUDIES).where(STUDIES.c.study == study))

"""Erasing exams, whole or not at all, whoever is killed when.

One transaction takes away the exam with its images, findings and jobs (a worker that is on one has lost its lease) and
leaves a row in ``erasures``: which files it had, and who asked. Another removes those files that nobody else uses,
writes the audit line and takes that row away. Interrupted, the second is done again at the next start or within a
minute, by any server.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping

from sqlalchemy import delete, insert, select

from senoscope.clinic.service import progress
from senoscope.clinic.service.database import lock_files, reading, writing
from senoscope.clinic.service.jobs import JOBS
from senoscope.clinic.service.references import OF_IMAGE, remove_unused
from senoscope.clinic.service.store import KIND, Store
from senoscope.clinic.service.tables import ERASURES, EXAMS, FINDINGS, IMAGES

_AT_ONCE = 200


def erase(store: Store, exam: str, asked: Mapping[str, str]) -> bool:
    """Take an exam away; whether there was one. Its files go with ``finish_erasures``, which hands on ``asked``."""
    here = IMAGES.c.exam == exam
    with writing(store.engine) as connection:
        keys = [
            f"{exam}/{number}" for number in connection.execute(select(IMAGES.c.number).where(here)).scalars()
        ]
        # Jobs before images, as a worker that finishes one: two that wait for each other would both fail.
        connection.execute(delete(JOBS).where(JOBS.c.kind == KIND, JOBS.c.key.in_(keys)))
        images = connection.execute(select(*OF_IMAGE).where(here).with_for_update()).all()
        progress.forget(connection, exam)
        connection.execute(delete(FINDINGS).where(FINDINGS.c.exam == exam))
        connection.execute(delete(IMAGES).where(here))
        card = connection.execute(delete(EXAMS).where(EXAMS.c.id == exam).returning(EXAMS.c.card)).scalar()
        if card is None:
            return False
        files = sorted({card, *(name for image in images for name in image if name)})
        row = {"id": secrets.token_hex(16), "exam": exam, "files": json.dumps(files)}
        connection.execute(insert(ERASURES).values(**row, asked=json.dumps(dict(asked))))
    return True


def finish_erasures(store: Store, note: Callable[[str, Mapping[str, str]], None]) -> None:
    """Remove the files of erased exams; ``note`` is told each exam and who asked (again, if interrupted then)."""
    with reading(store.engine) as connection:
        waiting = connection.execute(select(ERASURES.c.id)).scalars().all()
    for each in waiting:
        with writing(store.engine) as connection:
            lock_files(connection, shared=False)
            row = connection.execute(select(ERASURES).where(ERASURES.c.id == each)).first()
            if row is None:
                continue  # another server was faster
            remove_unused(connection, store.blobs, json.loads(row.files))
            note(row.exam, json.loads(row.asked))
            connection.execute(delete(ERASURES).where(ERASURES.c.id == each))


def exams_before(store: Store, created: float) -> list[str]:
    """Exams that came before a time (seconds since the epoch), oldest first; not all at once."""
    query = select(EXAMS.c.id).where(EXAMS.c.created < created).order_by(EXAMS.c.created).limit(_AT_ONCE)
    with reading(store.engine) as connection:
        return list(connection.execute(query).scalars())

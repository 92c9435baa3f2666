"""The record of what was received, committed in groups.

A disk does a hundred or two hundred flushes a second, and an object needs three: its file, the folder that names it,
and the database. Whoever arrives while a commit is under way shares the next one, and its folder's flush ("group
commit": Gawlick and Kinkade 1985), so that several senders are not held up by each other.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.intake import Verdict, patient_key
from senoscope.clinic.dicom.source import Source
from senoscope.clinic.gateway.tables import ANYBODY, OBJECTS, QUARANTINED, SERIES, STUDIES, WAITING
from senoscope.clinic.service.blobs import sync_folder
from senoscope.clinic.service.database import insert_new, writing

_MOST = 64


@dataclass(frozen=True, slots=True)
class _Entry:
    row: dict[str, Any]
    patient: str
    place: Path
    verdict: Future[Verdict] = field(default_factory=Future)


class Ledger:
    """Records objects; ``record`` may be called by several threads at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._entries: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="ledger", daemon=True).start()

    def record(self, place: Path, source: Source, content: str, peer: str) -> Verdict:
        """Have the object's file on disk under its name, and a row that says that it is here; what the row says.

        Raises ``OSError`` or ``SQLAlchemyError`` if that cannot be had; the object then counts as never received.
        """
        header = source.header
        row: dict[str, Any] = {
            "instance": identity.short(header.SOPInstanceUID),
            "content": content,
            "study": identity.study_folder(header.StudyInstanceUID),
            "series": identity.short(header.SeriesInstanceUID),
            "peer": peer[:16],
        }
        entry = _Entry(row, patient_key(source), place)
        self._entries.put(entry)
        return entry.verdict.result()

    def _run(self) -> None:
        while True:
            group = [self._entries.get()]
            while len(group) < _MOST and not self._entries.empty():
                group.append(self._entries.get())
            try:
                self._commit(group)
            except BaseException as error:  # whatever it is, those who wait must hear of it
                for entry in group:
                    entry.verdict.set_exception(error)

    def _commit(self, group: list[_Entry]) -> None:
        for folder in {entry.place.parent for entry in group}:
            sync_folder(folder)
        with writing(self._engine) as connection:
            verdicts = [_judge(connection, entry) for entry in group]
        for entry, verdict in zip(group, verdicts, strict=True):
            entry.verdict.set_result(verdict)


def _judge(connection: Connection, entry: _Entry) -> Verdict:
    """Write an object's row, unless there is one of its identifier, which then stays as it is.

    Raises ``FileNotFoundError``, rarely, and then for the whole group: its senders try again.
    """
    if not entry.place.exists():  # its study was deleted a moment ago, and this file, sent again, with it
        raise FileNotFoundError(errno.ENOENT, "the object's file was deleted")
    now = time.time()
    first = select(OBJECTS.c.content).where(OBJECTS.c.instance == entry.row["instance"])
    known = connection.execute(first).scalar_one_or_none()
    if known is not None:
        return Verdict.SAME if known == entry.row["content"] else Verdict.CONFLICT
    mixed = _is_mixed(connection, entry.row["study"], entry.patient)
    state = QUARANTINED if mixed else WAITING
    connection.execute(insert(OBJECTS).values(state=state, received=now, **entry.row))
    newest = upsert(SERIES).values(series=entry.row["series"], last=now)
    connection.execute(newest.on_conflict_do_update(index_elements=["series"], set_={"last": now}))
    return Verdict.MIXED if mixed else Verdict.NEW


def _is_mixed(connection: Connection, study: str, patient: str) -> bool:
    """Whether the study has had another patient; from then on nothing of it is analysed or sent."""
    if insert_new(connection, STUDIES, {"study": study, "patient": patient, "mixed": False}):
        return False
    row = connection.execute(select(STUDIES).where(STUDIES.c.study == study)).one()
    if row.patient == ANYBODY:
        return False
    if row.patient != patient and not row.mixed:
        connection.execute(update(STUDIES).where(STUDIES.c.study == study).values(mixed=True))
        waiting = (OBJECTS.c.study == study) & (OBJECTS.c.state == WAITING)
        connection.execute(update(OBJECTS).where(waiting).values(state=QUARANTINED))
    return bool(row.mixed or row.patient != patient)

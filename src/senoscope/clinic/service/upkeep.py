"""What a server does at its start and once a minute: end what killed ones left half done, and erase what is old."""

from __future__ import annotations

import time
from collections.abc import Mapping

from senoscope.clinic.service import audit
from senoscope.clinic.service.erasure import erase, exams_before, finish_erasures
from senoscope.clinic.service.lives import Life
from senoscope.clinic.service.references import discard_orphans
from senoscope.clinic.service.store import Store

_DAY = 86_400
_BY_AGE = {"user": "", "role": "keep-days", "source": ""}


class Upkeep:
    """Any of the servers that share a data folder may do it, and several at once.

    ``keep_days``: exams older than that are erased; ``None`` keeps them for ever.
    """

    def __init__(self, store: Store, life: Life, log: audit.AuditLog, keep_days: float | None) -> None:
        self._store, self._life, self._log, self._keep_days = store, life, log, keep_days

    def start(self) -> None:
        """At the start; images of uploads that were never acknowledged are patients' data too, and go."""
        self.tend()
        discard_orphans(self._store.engine, self._store.blobs)

    def tend(self) -> None:
        """Once a minute."""
        for name in self._life.bury_the_dead():
            self._store.queue.release(f"{name}@")
        finish_erasures(self._store, self._note)
        if self._keep_days is None:
            return
        while old := exams_before(self._store, time.time() - self._keep_days * _DAY):
            for exam in old:
                erase(self._store, exam, _BY_AGE)
            finish_erasures(self._store, self._note)

    def erase(self, exam: str, asked: Mapping[str, str]) -> bool:
        """Erase an exam now, for somebody; whether there was one."""
        gone = erase(self._store, exam, asked)
        finish_erasures(self._store, self._note)
        return gone

    def _note(self, exam: str, asked: Mapping[str, str]) -> None:
        user, role, source = asked["user"], asked["role"], asked["source"]
        self._log.write(audit.DELETED, action="D", user=user, role=role, source=source, subject=exam)

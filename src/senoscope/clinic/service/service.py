"""The parts of a running server, put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from senoscope.clinic.service import audit
from senoscope.clinic.service.admission import Gate
from senoscope.clinic.service.blobs import Blobs
from senoscope.clinic.service.database import open_database
from senoscope.clinic.service.events import Hub
from senoscope.clinic.service.home import settle
from senoscope.clinic.service.lives import Life
from senoscope.clinic.service.logs import where
from senoscope.clinic.service.loops import Lately
from senoscope.clinic.service.metrics import Metrics
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.settings import Settings, open_folders
from senoscope.clinic.service.store import KIND, Store
from senoscope.clinic.service.tokens import Tokens
from senoscope.clinic.service.upkeep import Upkeep
from senoscope.clinic.service.worker import Task
from senoscope.clinic.service.workers import Workers
from senoscope.errors import UsageError
from senoscope.inference.bundle import load_bundle

_RESYNC, _UPKEEP = 1.0, 60.0
_LOG = logging.getLogger("senoscope.clinic.service")


class Service:
    """Everything behind the routes. Raises ``UsageError`` if others could reach a server that asks for no token."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        folders = open_folders(settings.data_dir)
        self.tokens = Tokens(folders.tokens, folders.secret())
        if not settings.loopback and not self.tokens.exist:
            raise UsageError(
                f"other machines could reach {settings.host}, and nobody has a token yet",
                expected="a token file before the server listens on a network",
                fix="make one: senoscope serve --new-token admin --data-dir DIR",
            )
        self.bundle = load_bundle(settings.bundle)
        self.queue = Queue(open_database(settings.database_url))
        settle(self.queue.engine, folders.secret())
        self.life = Life(folders.blobs / "incoming")
        self.blobs = Blobs(folders.blobs, self.life.incoming)
        self.store = Store(self.queue.engine, self.blobs, self.queue, folders.secret())
        self.gate = Gate(settings.queue_limit, settings.upload_limit)
        self.hub = Hub()
        self.audit = audit.AuditLog(folders.audit)
        self.upkeep = Upkeep(self.store, self.life, self.audit, settings.keep_days)
        self.metrics = Metrics(self._gauges)
        self.heavy = threading.BoundedSemaphore(2)  # documents hold whole images: few at once, whoever asks
        self.frames_seen = Lately()
        self.ready, self.has_database = False, True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        places = (folders.blobs, self.life.incoming)
        task = Task(settings.database_url, *places, settings.bundle, settings.max_frames)
        self.workers = Workers(
            task,
            self.queue,
            settings.workers,
            prefix=f"{self.life.name}@{socket.gethostname()}:",
            job_timeout=settings.job_timeout,
            on_finished=self._finished,
        )

    @property
    def is_ready(self) -> bool:
        """Whether uploads are taken, and a worker can analyse them."""
        return self.ready and self.has_database and self.workers.ready > 0

    async def start(self) -> None:
        """Take up what an earlier life left, and start the workers."""
        self._loop = asyncio.get_running_loop()
        await run_in_threadpool(self.upkeep.start)
        self.workers.start()
        self.gate.waiting = self.queue.waiting(KIND)
        self._tasks = [asyncio.create_task(self._correct()), asyncio.create_task(self._tend())]
        self.audit.write(audit.START, action="E")
        self.ready = True

    async def drain(self) -> None:
        """Not ready any more: uploads under way and images being analysed end, within the drain time."""
        self.ready, self.gate.draining = False, True
        end = asyncio.get_running_loop().time() + self.settings.drain_timeout
        while self.gate.uploading and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.05)
        left = max(1.0, end - asyncio.get_running_loop().time())
        whole = await run_in_threadpool(self.workers.stop, left)
        self.hub.close()
        for task in self._tasks:
            task.cancel()
        self.audit.write(audit.STOP, action="E", outcome=0 if whole else 4)

    def note(
        self,
        event: str,
        action: str,
        scope: MutableMapping[str, Any],
        *,
        subject: str = "",
        user: str = "",
        outcome: int = 0,
    ) -> None:
        """Write an audit line about a request."""
        known = scope.get("state", {}).get("user")
        self.audit.write(
            event,
            action=action,
            user=known.name if known else user,
            role=known.role if known else "",
            source=(scope.get("client") or ("",))[0],
            subject=subject,
            outcome=outcome,
        )

    def changed(self, exam: str) -> None:
        """Tell open pages, from any thread, that an exam changed."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.hub.publish, exam)

    def _finished(self, exam: str) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.gate.finished)
        self.changed(exam)

    async def _correct(self) -> None:
        while True:
            await asyncio.sleep(_RESYNC)
            try:
                self.gate.waiting = await run_in_threadpool(self.queue.waiting, KIND)
                self.has_database = True
            except SQLAlchemyError:
                self.has_database = False
                _LOG.warning("the database cannot be reached")

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_UPKEEP)
            try:
                await run_in_threadpool(self.upkeep.tend)
            except Exception as error:  # no database, a full disk: another minute may be better
                _LOG.warning("upkeep failed: %s", where(error))

    def _gauges(self) -> Mapping[str, tuple[str, float]]:
        counts = self.queue.counts(KIND)
        return {
            **{f"images_{state}": (f"Images {state}", float(count)) for state, count in counts.items()},
            "uploads": ("Uploads under way", float(self.gate.uploading)),
            "refused_total": ("Uploads refused because the queue was full", float(self.gate.refused)),
            "workers_ready": ("Workers that can work", float(self.workers.ready)),
            "worker_restarts_total": ("Workers replaced", float(self.workers.restarts)),
        }

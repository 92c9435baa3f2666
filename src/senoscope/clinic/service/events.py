"""Telling open pages that an exam changed, as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from senoscope.clinic.service.errors import BusyError

_MOST = 64
_BEAT = 10.0


class Hub:
    """Hands exam ids from whoever changed them to every listener; all within the event loop's thread."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str | None]] = set()

    def publish(self, exam: str) -> None:
        """Tell every listener; one that does not keep up misses some, and its page asks again by itself."""
        for listener in self._listeners:
            if not listener.full():
                listener.put_nowait(exam)

    def close(self) -> None:
        """End every stream: the server stops."""
        for listener in self._listeners:
            if listener.full():
                listener.get_nowait()
            listener.put_nowait(None)

    def check_room(self) -> None:
        """Raise ``BusyError`` if there are as many listeners as are served."""
        if len(self._listeners) >= _MOST:
            raise BusyError(
                "too many pages are listening", retry_after=5, fix="ask for the exam now and then"
            )

    async def listen(self) -> AsyncIterator[str]:
        """Ids of exams as they change, and an empty text every few seconds, by which a gone client is noticed."""
        listener: asyncio.Queue[str | None] = asyncio.Queue(256)
        self._listeners.add(listener)
        try:
            while True:
                try:
                    exam = await asyncio.wait_for(listener.get(), _BEAT)
                except TimeoutError:
                    exam = ""
                if exam is None:
                    return
                yield exam
        finally:
            self._listeners.discard(listener)

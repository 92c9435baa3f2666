"""Who is let in: a bounded queue, known without asking the database, so that refusing costs next to nothing."""

from __future__ import annotations

import math
import time

from senoscope.clinic.service.errors import BusyError

_LONGEST_WAIT = 60
_MEMORY = 0.9  # of the running mean between finished images


class Gate:
    """Counts images that wait and uploads on their way.

    ``limit`` images may wait and ``uploads`` requests may be sending at once. All methods are for the event loop's
    thread. ``waiting`` is corrected from the database now and then: workers elsewhere may share the queue.

    An upload is counted twice: at the door (``knock``, by its first bytes, before anything is parsed) and in its route
    (``enter``). A server too busy to reach the route would otherwise let in, and hold in memory, whatever arrives.
    """

    def __init__(self, limit: int, uploads: int) -> None:
        self.limit = limit
        self._uploads = uploads
        self.waiting = 0
        self.uploading = 0
        self._at_door = 0
        self.refused = 0
        self.draining = False
        self._last: float | None = None
        self._interval = 0.1

    @property
    def closed(self) -> bool:
        """Whether the next upload is refused."""
        return self._full(self.uploading)

    @property
    def retry_after(self) -> int:
        """Seconds until a quarter of the queue is expected to be worked off, 1 to 60."""
        return max(1, min(_LONGEST_WAIT, math.ceil(self._interval * self.limit / 4)))

    def knock(self) -> bool:
        """The first bytes of an upload are here: whether to read on, until ``depart``."""
        if self._full(self._at_door):
            self.refused += 1
            return False
        self._at_door += 1
        return True

    def depart(self) -> None:
        """An upload that was let in at the door is answered, or its client gone."""
        self._at_door -= 1

    def enter(self) -> None:
        """An upload begins; raises ``BusyError`` if it must not."""
        if self.closed:
            self.refused += 1
            raise BusyError(
                "the server is about to stop" if self.draining else "the queue is full",
                expected="another try later",
                fix=f"send it again after {self.retry_after} s",
                retry_after=self.retry_after,
            )
        self.uploading += 1

    def leave(self) -> None:
        """An upload ended, well or not."""
        self.uploading -= 1

    def added(self, images: int) -> None:
        """Images were queued."""
        self.waiting += images

    def finished(self) -> None:
        """An image was worked off."""
        self.waiting = max(0, self.waiting - 1)
        now = time.monotonic()
        if self._last is not None and self.waiting:  # the pace counts only while there is work
            self._interval = _MEMORY * self._interval + (1 - _MEMORY) * (now - self._last)
        self._last = now

    def _full(self, uploads: int) -> bool:
        return self.draining or uploads >= self._uploads or self.waiting + uploads >= self.limit

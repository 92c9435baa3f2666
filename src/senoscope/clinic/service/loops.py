"""Single frames of stored loops, for whoever looks at one: where frames are is found once and kept for a while."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Row

from senoscope.clinic.service.blobs import Blobs
from senoscope.imaging.dicom_frames import Loop, open_loop
from senoscope.imaging.raw import Limits, RawImage

_KEPT = 8
_ANY_LENGTH = Limits(max_cine=1_000_000)  # it was within the limit when it was analysed

_loops: OrderedDict[tuple[Path, str], Loop] = OrderedDict()
_lock = Lock()


def stored_frame(blobs: Blobs, row: Row[Any], frame: int) -> RawImage:
    """A frame, counted from 1, of an image's file; ``row`` is as ``Store.image`` gives it. Raises ``ImageError``."""
    return _opened(blobs.path(row.content), f"image {row.number}").frame(frame)


def _opened(path: Path, name: str) -> Loop:
    """A file is named by its content, so what is known of it stays true."""
    key = (path, name)
    with _lock:
        loop = _loops.get(key)
        if loop is not None:
            _loops.move_to_end(key)
            return loop
    loop = open_loop(path, _ANY_LENGTH, name)
    if not loop.in_memory:
        with _lock:
            _loops[key] = loop
            if len(_loops) > _KEPT:
                _loops.popitem(last=False)
    return loop


class Lately:
    """Remembers what came within the last ``seconds``, at most ``most`` things."""

    def __init__(self, seconds: float = 60.0, most: int = 256) -> None:
        self._seconds, self._most = seconds, most
        self._seen: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = Lock()

    def is_new(self, thing: Hashable) -> bool:
        """Whether ``thing`` did not come lately; from now on it did."""
        now = time.monotonic()
        with self._lock:
            if now - self._seen.get(thing, -math.inf) < self._seconds:
                return False
            self._seen[thing] = now
            self._seen.move_to_end(thing)
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)
        return True

"""When a series is complete: it was quiet for a while, or has as many objects as its source says."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import Engine, func, or_, select, update

from senoscope.clinic.gateway.tables import OBJECTS, QUEUED, SERIES, WAITING
from senoscope.clinic.service.database import reading, writing
from senoscope.clinic.service.queue import Queue

ANALYZE = "analyze"
"""The queue's jobs that analyse one object: key and payload name its instance."""

COUNT = "count"
"""The queue's jobs that ask the source for the size of a series; asked once per series."""


def queue_complete(queue: Queue, quiet_s: float) -> int:
    """Give the objects of complete series to the workers; how many those were.

    An object that comes later is given to them when its series is complete again.
    """
    count = 0
    for series in _complete(queue.engine, quiet_s):
        with writing(queue.engine) as connection:
            mine = (OBJECTS.c.series == series) & (OBJECTS.c.state == WAITING)
            for instance in connection.execute(select(OBJECTS.c.instance).where(mine)).scalars().all():
                queue.enqueue(ANALYZE, instance, {"instance": instance}, connection)
                count += 1
            connection.execute(update(OBJECTS).where(mine).values(state=QUEUED))
    return count


def expect(engine: Engine, series: str, count: int) -> None:
    """Note how many objects the source of a series says it has."""
    with writing(engine) as connection:
        connection.execute(update(SERIES).where(SERIES.c.series == series).values(expected=count))


def wait_no_longer(engine: Engine, instances: Iterable[str]) -> None:
    """Take the series of these objects as complete: the sender has said that it sent them all."""
    wanted = list(instances)
    with writing(engine) as connection:
        for start in range(0, len(wanted), 500):  # SQLite limits the variables of a statement
            part = select(OBJECTS.c.series).where(OBJECTS.c.instance.in_(wanted[start : start + 500]))
            connection.execute(update(SERIES).where(SERIES.c.series.in_(part)).values(last=0.0))


def _complete(engine: Engine, quiet_s: float) -> list[str]:
    waiting = select(OBJECTS.c.series).where(OBJECTS.c.state == WAITING).distinct()
    held = select(func.count()).where(OBJECTS.c.series == SERIES.c.series).correlate(SERIES).scalar_subquery()
    due = or_(SERIES.c.last <= time.time() - quiet_s, SERIES.c.expected <= held)
    with reading(engine) as connection:
        return list(
            connection.execute(select(SERIES.c.series).where(SERIES.c.series.in_(waiting), due)).scalars()
        )

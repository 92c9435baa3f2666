"""A durable job queue in a database table: what was acknowledged is done, and done once, whoever is killed when.

A job is identified by its kind and a *content key*: enqueuing it again is no second job. A worker claims it with a
lease and renews it; when the worker dies the lease runs out and another takes over. The result is written in the very
transaction that completes the job, which only the holder of the current lease can do. On PostgreSQL claiming skips
rows that others hold (``SKIP LOCKED``), on SQLite it takes the write lock (``BEGIN IMMEDIATE``). Failures are retried
after a delay that doubles, with jitter (Brooker 2015, "Exponential backoff and jitter"); a job that fails too often
is a dead letter until it is replayed.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, select, update

from senoscope.clinic.service.database import insert_new, reading, writing
from senoscope.clinic.service.errors import LostLeaseError
from senoscope.clinic.service.jobs import DEAD, DONE, JOBS, LEASED, QUEUED, DeadLetter, Job, due


class Queue:
    """Jobs in ``engine``'s database.

    Parameters
    ----------
    lease_s: seconds a claim lasts unless renewed by ``heartbeat``.
    max_attempts: claims after which a failing (or killing) job is a dead letter.
    backoff_s: the first delay after a failure, and the longest. The delay doubles in between and is drawn from half
        to one and a half times its length.
    clock: seconds since the epoch. Servers that share a PostgreSQL queue need clocks that agree within the lease.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_s: float = 30.0,
        max_attempts: int = 4,
        backoff_s: tuple[float, float] = (1.0, 300.0),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.engine = engine
        self.lease_s = lease_s
        self._max_attempts = max_attempts
        self._backoff = backoff_s
        self._clock = clock

    def enqueue(
        self, kind: str, key: str, payload: Mapping[str, Any], connection: Connection | None = None
    ) -> bool:
        """Add a job unless one of this kind and key was ever added; whether it is new.

        Durable when this returns, or, inside a caller's transaction, when that commits.
        """
        now = self._clock()
        values = {
            "kind": kind,
            "key": key,
            "payload": json.dumps(dict(payload), allow_nan=False),
            "state": QUEUED,
            "attempts": 0,
            "run_after": now,
            "created": now,
            "updated": now,
        }
        if connection is not None:
            return insert_new(connection, JOBS, values)
        with writing(self.engine) as own:
            return insert_new(own, JOBS, values)

    def claim(self, kinds: Sequence[str], worker: str) -> Job | None:
        """The oldest job that is due, now leased to ``worker``; ``None`` if there is none."""
        while True:
            with writing(self.engine) as connection:
                now = self._clock()
                row = connection.execute(
                    select(JOBS)
                    .where(JOBS.c.kind.in_(kinds), due(now))
                    .order_by(JOBS.c.run_after, JOBS.c.id)
                    .limit(1)
                    .with_for_update(
                        skip_locked=True
                    )  # of no effect on SQLite, which has locked the whole file
                ).first()
                if row is None:
                    return None
                if row.attempts >= self._max_attempts:  # its workers died each time without a word
                    _bury(connection, row.id, now, row.error or "every worker that tried it was lost")
                    continue
                lease = secrets.token_hex(16)
                connection.execute(
                    update(JOBS)
                    .where(JOBS.c.id == row.id)
                    .values(
                        state=LEASED,
                        lease=lease,
                        lease_until=now + self.lease_s,
                        worker=worker,
                        attempts=row.attempts + 1,
                        updated=now,
                    )
                )
            return Job(row.id, row.kind, row.key, json.loads(row.payload), row.attempts + 1, lease, worker)

    def heartbeat(self, job: Job) -> bool:
        """Renew a lease; ``False`` if it is lost, and then the work should stop."""
        with writing(self.engine) as connection:
            now = self._clock()
            return self._held(connection, job, lease_until=now + self.lease_s, updated=now)

    @contextmanager
    def completing(self, job: Job) -> Iterator[Connection]:
        """The transaction that ends a job: write its result with the connection this yields.

        Raises ``LostLeaseError``, and writes nothing, if the lease is no longer this worker's.
        """
        with writing(self.engine) as connection:
            if not self._held(
                connection, job, state=DONE, lease=None, lease_until=None, error=None, updated=self._clock()
            ):
                raise LostLeaseError(
                    f"job {job.id} is no longer leased to this worker",
                    expected="work that ends, or is renewed, within its lease",
                )
            yield connection

    def complete(self, job: Job) -> None:
        """End a job that has no result to write. Raises ``LostLeaseError``."""
        with self.completing(job):
            pass

    def fail(self, job: Job, error: str, *, final: bool = False) -> bool:
        """Give a job back after a failure: retried later, or a dead letter if ``final`` or tried often enough.

        ``error`` is kept and shown to operators: it must not quote the patient's data. Returns whether the job is
        dead. A job whose lease was lost is left alone.
        """
        now = self._clock()
        dead = final or job.attempts >= self._max_attempts
        with writing(self.engine) as connection:
            held = self._held(
                connection,
                job,
                state=DEAD if dead else QUEUED,
                run_after=now + self._delay(job.attempts),
                lease=None,
                lease_until=None,
                error=error[:2000],
                updated=now,
            )
        return dead and held

    def release(self, worker_prefix: str) -> int:
        """Put back at once what workers known to be gone (names that start so) still hold; how many jobs that were."""
        gone = and_(JOBS.c.state == LEASED, JOBS.c.worker.startswith(worker_prefix, autoescape=True))
        with writing(self.engine) as connection:
            values = {"state": QUEUED, "lease": None, "lease_until": None, "updated": self._clock()}
            return int(connection.execute(update(JOBS).where(gone).values(values)).rowcount)

    def dead_letters(self, kind: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """Jobs that were given up, oldest first."""
        query = select(JOBS).where(JOBS.c.state == DEAD).order_by(JOBS.c.id).limit(limit)
        if kind is not None:
            query = query.where(JOBS.c.kind == kind)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [
            DeadLetter(row.kind, row.key, json.loads(row.payload), row.attempts, row.error or "")
            for row in rows
        ]

    def replay(self, kind: str | None = None, key: str | None = None) -> int:
        """Try dead letters again from their first attempt (all, of one kind, or one); how many there were."""
        now = self._clock()
        query = update(JOBS).where(JOBS.c.state == DEAD)
        if kind is not None:
            query = query.where(JOBS.c.kind == kind)
        if key is not None:
            query = query.where(JOBS.c.key == key)
        with writing(self.engine) as connection:
            again = query.values(state=QUEUED, attempts=0, run_after=now, updated=now)
            return int(connection.execute(again).rowcount)

    def counts(self, kind: str | None = None) -> dict[str, int]:
        """Jobs by state; every state is named."""
        query = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
        if kind is not None:
            query = query.where(JOBS.c.kind == kind)
        with reading(self.engine) as connection:
            found = {str(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in (QUEUED, LEASED, DONE, DEAD)}

    def waiting(self, kind: str) -> int:
        """Jobs of a kind that are queued or being worked on; cheap however many are done."""
        query = select(func.count()).where(JOBS.c.kind == kind, JOBS.c.state.in_((QUEUED, LEASED)))
        with reading(self.engine) as connection:
            return int(connection.execute(query).scalar_one())

    def _held(self, connection: Connection, job: Job, **values: Any) -> bool:
        mine = and_(JOBS.c.id == job.id, JOBS.c.lease == job.lease, JOBS.c.state == LEASED)
        return connection.execute(update(JOBS).where(mine).values(values)).rowcount == 1

    def _delay(self, attempts: int) -> float:
        first, longest = self._backoff
        spread = 0.5 + random.random()  # noqa: S311 - spreads load, hides nothing
        return float(min(first * 2.0 ** (attempts - 1), longest) * spread)


def _bury(connection: Connection, job: int, now: float, error: str) -> None:
    values = {"state": DEAD, "lease": None, "lease_until": None, "error": error, "updated": now}
    connection.execute(update(JOBS).where(JOBS.c.id == job).values(values))

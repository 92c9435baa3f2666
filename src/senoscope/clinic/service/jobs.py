"""Jobs: their table, what a claimed one and a given-up one look like, and which are due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    or_,
)

from senoscope.clinic.service.database import METADATA

QUEUED, LEASED, DONE, DEAD = "queued", "leased", "done", "dead"

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("key", String(200), nullable=False),
    Column("payload", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run_after", Float, nullable=False),
    Column("lease", String(32)),
    Column("lease_until", Float),
    Column("worker", String(120)),
    Column("error", Text),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    UniqueConstraint("kind", "key"),
    Index("jobs_ready", "state", "run_after"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. ``attempts`` counts this one; ``lease`` proves that the holder may still finish it."""

    id: int
    kind: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    lease: str
    worker: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was given up, and why (the error's text holds nothing of a patient: ``Queue.fail`` is told so)."""

    kind: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    error: str


def due(now: float) -> Any:
    """The condition that a job may be claimed: queued and its time come, or leased and the lease run out."""
    return or_(
        and_(JOBS.c.state == QUEUED, JOBS.c.run_after <= now),
        and_(JOBS.c.state == LEASED, JOBS.c.lease_until < now),
    )

"""What the gateway remembers of the objects it received. Identifiers are hashes; the objects themselves are files."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table

from senoscope.clinic.service.database import METADATA

WAITING, QUEUED, QUARANTINED = "waiting", "queued", "quarantined"
"""States of an object: its series is not complete; it was given to the workers; its study mixes patients."""

ANYBODY = "*"
"""Stands for the patient of a study that an operator has released from quarantine."""

OBJECTS = Table(
    "gateway_objects",
    METADATA,
    Column("instance", String(16), primary_key=True),
    Column("content", String(64), nullable=False),  # SHA-256 of the data set as it was sent
    Column("study", String(16), nullable=False),
    Column("series", String(16), nullable=False),
    Column("peer", String(16), nullable=False),
    Column("state", String(12), nullable=False),
    Column("received", Float, nullable=False),
    Index("gateway_objects_state", "state", "series"),
    Index("gateway_objects_series", "series"),
    Index("gateway_objects_study", "study"),
)

SERIES = Table(
    "gateway_series",
    METADATA,
    Column("series", String(16), primary_key=True),
    Column("last", Float, nullable=False),  # when its newest object came; 0: wait no longer
    Column("expected", Integer),  # how many objects the source says it has
)

STUDIES = Table(
    "gateway_studies",
    METADATA,
    Column("study", String(16), primary_key=True),
    Column("patient", String(16), nullable=False),
    Column("mixed", Boolean, nullable=False),
)

SENT = Table(
    "gateway_sent",
    METADATA,
    Column("destination", String(30), primary_key=True),
    Column("file", String(80), primary_key=True),
    Column("sent", Float, nullable=False),
)

"""Tables of exams, their images, and every version of every finding."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKeyConstraint, Index, Integer, String, Table, Text

from senoscope.clinic.service.database import METADATA

EXAMS = Table(
    "exams",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("card", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Index("exams_of_owner", "owner", "created"),
)

IMAGES = Table(
    "images",
    METADATA,
    Column("exam", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column(
        "name", Text, nullable=False
    ),  # as uploaded: may name a patient, so it is in no log and no message
    Column("kind", String(8), nullable=False),
    Column("content", String(64), nullable=False),
    Column("status", String(20)),  # of schema.Report; null until analysed
    Column("result", String(64)),
    Column("picture", String(64)),
    Column("heatmap", String(64)),
    Column("finished", Float),
    ForeignKeyConstraint(["exam"], ["exams.id"]),
)

FINDINGS = Table(
    "findings",
    METADATA,
    Column("exam", String(32), primary_key=True),
    Column("image", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("review", String(10), nullable=False),
    Column("author", String(80), nullable=False),
    Column("item", Text, nullable=False),
    Column("created", Float, nullable=False),
    ForeignKeyConstraint(["exam", "image"], ["images.exam", "images.number"]),
)

"""Tables of exams, their images, and every version of every finding; and of what is being erased."""

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
    Index("exams_by_age", "created"),
    Index("exams_of_card", "card"),
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
    *(Index(f"images_of_{column}", column) for column in ("content", "result", "picture", "heatmap")),
)

PROGRESS = Table(  # of loops while they are analysed; bound to no image, so it never stands in the way of one
    "progress",
    METADATA,
    Column("exam", String(32), primary_key=True),
    Column("image", Integer, primary_key=True),
    Column("done", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
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

ERASURES = Table(  # exams that are gone, while files of theirs may still be there
    "erasures",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("exam", String(32), nullable=False),
    Column("files", Text, nullable=False),  # JSON: their names
    Column("asked", Text, nullable=False),  # JSON: who had it erased, for the audit log
)

HOME = Table(  # one row: the data folder whose files the others name
    "home",
    METADATA,
    Column("one", Integer, primary_key=True),
    Column("folder", String(64), nullable=False),
)

"""Exams and images: what was uploaded, what became of it, and where its files are.

An exam's id is a keyed hash of its owner, the model and the images' content, so the same upload sent twice (a client
that did not hear the answer) is one exam, and nobody can tell from an id what it is of.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from senoscope.clinic.service.blobs import Blobs
from senoscope.clinic.service.database import insert_new, reading, writing
from senoscope.clinic.service.errors import NotFoundError
from senoscope.clinic.service.jobs import DEAD, JOBS, Job
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.tables import EXAMS, FINDINGS, IMAGES
from senoscope.inference.bundle import Card

KIND = "analyze"
"""The kind of the queue's jobs that analyse one image: payload ``{"exam": id, "image": number}``."""

AI = "ai"
"""Review state, and author, of a finding nobody has looked at."""

GIVEN_UP = "The analysis was tried several times and given up; an operator can try it again."


@dataclass(frozen=True, slots=True)
class Upload:
    """One image received: the client's name for it, its format (PNG, DICOM, …) and its content's SHA-256."""

    name: str
    kind: str
    content: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What analysing an image gave: ``findings.json``'s item, and two pictures as PNG (``None`` where there is none).

    ``heatmap`` is grey: 0 speaks for benign, 255 for malignant.
    """

    item: Mapping[str, Any]
    picture: bytes | None = None
    heatmap: bytes | None = None


class Store:
    """Exams in ``engine``'s database, their files in ``blobs``, their work in ``queue``."""

    def __init__(self, engine: Engine, blobs: Blobs, queue: Queue, secret: bytes) -> None:
        self.engine = engine
        self.blobs = blobs
        self.queue = queue
        self._secret = secret

    def add_exam(self, owner: str, card: Card, uploads: Sequence[Upload]) -> tuple[str, bool]:
        """Record an exam and queue its images; its id, and whether it is new. On disk when this returns.

        ``card`` is the model's that will analyse them: it is kept, so that reports name it whatever runs by then.
        """
        kept = self.blobs.put([card.model_dump_json().encode()])
        parts = "\0".join([owner, kept, *(upload.content for upload in uploads)])
        exam = hmac.new(self._secret, parts.encode(), hashlib.sha256).hexdigest()[:32]
        now = time.time()
        with writing(self.engine) as connection:
            row = {"id": exam, "owner": owner, "card": kept, "created": now}
            if not insert_new(connection, EXAMS, row):
                return exam, False
            for number, upload in enumerate(uploads, 1):
                values = {"exam": exam, "number": number, "name": upload.name[:255]}
                values |= {"kind": upload.kind, "content": upload.content}
                connection.execute(insert(IMAGES).values(values))
                payload = {"exam": exam, "image": number}
                self.queue.enqueue(KIND, f"{exam}/{number}", payload, connection)
        return exam, True

    def image(self, exam: str, number: int, owner: str | None = None) -> Row[Any]:
        """An image's row, with ``owner``. Raises ``NotFoundError``, also if it is not ``owner``'s."""
        query = (
            select(IMAGES, EXAMS.c.owner)
            .join(EXAMS, EXAMS.c.id == IMAGES.c.exam)
            .where(IMAGES.c.exam == exam, IMAGES.c.number == number)
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        if row is None or owner not in (None, row.owner):
            raise NotFoundError("there is no such image")
        return row

    def owner(self, exam: str) -> str | None:
        """Whose exam this is; ``None`` if there is no such exam."""
        with reading(self.engine) as connection:
            return connection.execute(select(EXAMS.c.owner).where(EXAMS.c.id == exam)).scalar_one_or_none()

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Write an image's result and end its job in one transaction, so that it can never be there twice.

        Raises ``LostLeaseError``, having written nothing, if the job is somebody else's by now.
        """
        item = {key: value for key, value in outcome.item.items() if key != "findings"}
        item["locates"] = outcome.item["findings"] is not None
        values = {
            "status": outcome.item["status"],
            "result": self.blobs.put([json.dumps(item, allow_nan=False).encode()]),
            "picture": outcome.picture and self.blobs.put([outcome.picture]),
            "heatmap": outcome.heatmap and self.blobs.put([outcome.heatmap]),
            "finished": time.time(),
        }
        exam, number = job.payload["exam"], job.payload["image"]
        with self.queue.completing(job) as connection:
            here = (IMAGES.c.exam == exam) & (IMAGES.c.number == number)
            connection.execute(update(IMAGES).where(here).values(values))
            for count, finding in enumerate(outcome.item["findings"] or (), 1):
                _insert_finding(connection, exam, number, count, finding)

    def exam(self, exam: str, owner: str | None = None) -> dict[str, Any]:
        """Everything known of an exam as plain JSON values. Raises ``NotFoundError``, also if it is not ``owner``'s."""
        with reading(self.engine) as connection:
            head = connection.execute(select(EXAMS).where(EXAMS.c.id == exam)).first()
            if head is None or owner not in (None, head.owner):
                raise NotFoundError("there is no such exam")
            images = connection.execute(
                select(IMAGES).where(IMAGES.c.exam == exam).order_by(IMAGES.c.number)
            ).all()
            findings = connection.execute(latest_findings(exam)).all()
            dead = _dead(connection, exam) if any(row.status is None for row in images) else set()
        described = [self._image(row, findings, row.number in dead) for row in images]
        return {
            "id": exam,
            "owner": head.owner,
            "card": head.card,
            "created": head.created,
            "state": _state(described),
            "images": described,
        }

    def exams(self, owner: str | None, limit: int, before: float | None = None) -> list[dict[str, Any]]:
        """Exams, newest first, without findings; ``before`` is the ``created`` to go on from."""
        waiting = func.count().filter(IMAGES.c.status.is_(None))
        failed = func.count().filter(IMAGES.c.status == "failed")
        query = (
            select(
                EXAMS.c.id,
                EXAMS.c.owner,
                EXAMS.c.created,
                func.count().label("images"),
                waiting.label("waiting"),
                failed.label("failed"),
            )
            .join(IMAGES, IMAGES.c.exam == EXAMS.c.id)
            .group_by(EXAMS.c.id, EXAMS.c.owner, EXAMS.c.created)
            .order_by(EXAMS.c.created.desc(), EXAMS.c.id)
            .limit(limit)
        )
        if owner is not None:
            query = query.where(EXAMS.c.owner == owner)
        if before is not None:
            query = query.where(EXAMS.c.created < before)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
            names = _names(connection, [row.id for row in rows])
        return [
            {
                "id": row.id,
                "owner": row.owner,
                "created": row.created,
                "name": names.get(row.id, ""),
                "images": row.images,
                "state": "waiting" if row.waiting else "failed" if row.failed == row.images else "done",
            }
            for row in rows
        ]

    def _image(self, row: Row[Any], findings: Sequence[Row[Any]], dead: bool) -> dict[str, Any]:
        result = json.loads(self.blobs.read(row.result)) if row.result else {}
        mine = [_finding(found) for found in findings if found.image == row.number]
        notes = result.get("notes", [GIVEN_UP] if dead else [])
        return {
            "number": row.number,
            "name": row.name,
            "kind": row.kind,
            "status": row.status or ("failed" if dead else "waiting"),
            **{key: result.get(key) for key in ("size", "spacing_mm", "class", "certain", "probabilities")},
            "uncertainty": result.get("uncertainty"),
            "findings": mine if result.get("locates", True) else None,
            "reasons": result.get("reasons", []),
            "quality": result.get("quality", []),
            "notes": notes,
            "seconds": result.get("seconds"),
            "has_picture": row.picture is not None,
            "has_heatmap": row.heatmap is not None,
        }


def latest_findings(exam: str, image: int | None = None) -> Any:
    """A query for the newest version of every finding of an exam, or of one of its images."""
    newest = (
        select(FINDINGS.c.image, FINDINGS.c.number, func.max(FINDINGS.c.version).label("version"))
        .where(FINDINGS.c.exam == exam)
        .group_by(FINDINGS.c.image, FINDINGS.c.number)
        .subquery()
    )
    same = (
        (FINDINGS.c.image == newest.c.image)
        & (FINDINGS.c.number == newest.c.number)
        & (FINDINGS.c.version == newest.c.version)
    )
    query = select(FINDINGS).join(newest, same).where(FINDINGS.c.exam == exam)
    if image is not None:
        query = query.where(FINDINGS.c.image == image)
    return query.order_by(FINDINGS.c.image, FINDINGS.c.number)


def _insert_finding(
    connection: Connection, exam: str, image: int, number: int, item: Mapping[str, Any]
) -> None:
    values = {"exam": exam, "image": image, "number": number, "version": 1, "review": AI, "author": AI}
    values |= {"item": json.dumps(item, allow_nan=False), "created": time.time()}
    connection.execute(insert(FINDINGS).values(values))


def _finding(row: Row[Any]) -> dict[str, Any]:
    head = {"number": row.number, "version": row.version, "review": row.review, "author": row.author}
    return {**head, "changed": row.created, **json.loads(row.item)}


def _state(images: Sequence[Mapping[str, Any]]) -> str:
    states = {image["status"] for image in images}
    return "waiting" if "waiting" in states else "failed" if states == {"failed"} else "done"


def _dead(connection: Connection, exam: str) -> set[int]:
    """Numbers of the images whose job was given up."""
    query = select(JOBS.c.key).where(
        JOBS.c.kind == KIND, JOBS.c.state == DEAD, JOBS.c.key.startswith(f"{exam}/", autoescape=True)
    )
    return {int(key.rpartition("/")[2]) for (key,) in connection.execute(query)}


def _names(connection: Connection, exams: Sequence[str]) -> dict[str, str]:
    query = select(IMAGES.c.exam, IMAGES.c.name).where(IMAGES.c.number == 1, IMAGES.c.exam.in_(exams))
    return {row.exam: row.name for row in connection.execute(query)}

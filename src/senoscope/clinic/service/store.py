"""Exams and images: what was uploaded, what became of it, and where its files are.

An exam's id is a keyed hash of its owner, the model and the images' content, so the same upload sent twice (a client
that did not hear the answer) is one exam, and nobody can tell from an id what it is of.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from senoscope.clinic.service import progress
from senoscope.clinic.service.blobs import Blobs
from senoscope.clinic.service.database import insert_new, reading, writing
from senoscope.clinic.service.described import describe_frame, describe_images, stored_result
from senoscope.clinic.service.errors import ClientGoneError, LostLeaseError, NotFoundError
from senoscope.clinic.service.jobs import DEAD, JOBS, Job
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.references import discard, hold
from senoscope.clinic.service.tables import EXAMS, FINDINGS, IMAGES
from senoscope.inference.bundle import Card

KIND = "analyze"
"""The kind of the queue's jobs that analyse one image: payload ``{"exam": id, "image": number}``."""

AI = "ai"
"""Review state, and author, of a finding nobody has looked at."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One image received: the client's name for it, its format (PNG, DICOM, …) and its content's SHA-256."""

    name: str
    kind: str
    content: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What analysing an image gave: ``findings.json``'s item, and two pictures as PNG (``None`` where there is none).

    ``heatmap`` is grey: 0 speaks for benign, 255 for malignant. Of a loop (see ``cine``) ``findings`` are
    those of all frames, ``heatmap`` is an archive of theirs, and there is no picture: its file has the frames'.
    """

    item: Mapping[str, Any]
    picture: Iterable[bytes] | None = None
    heatmap: Iterable[bytes] | None = None
    findings: Iterable[Mapping[str, Any]] | None = None


class Store:
    """Exams in ``engine``'s database, their files in ``blobs``, their work in ``queue``."""

    def __init__(self, engine: Engine, blobs: Blobs, queue: Queue, secret: bytes) -> None:
        self.engine = engine
        self.blobs = blobs
        self.queue = queue
        self._secret = secret

    def add_exam(
        self,
        owner: str,
        card: Card,
        uploads: Sequence[Upload],
        is_gone: Callable[[], bool] = lambda: False,
    ) -> tuple[str, bool]:
        """Record an exam and queue its images; its id, and whether it is new. On disk when this returns.

        ``card`` is the model's that will analyse them: it is kept, so that reports name it whatever runs by then.
        ``is_gone`` is asked at the last moment whether the client is: then raises ``ClientGoneError``, and nothing was
        recorded. Raises ``BusyError`` if a file was erased meanwhile.
        """
        kept = self.blobs.put([card.model_dump_json().encode()])
        parts = "\0".join([owner, kept, *(upload.content for upload in uploads)])
        exam = hmac.new(self._secret, parts.encode(), hashlib.sha256).hexdigest()[:32]
        now = time.time()
        with writing(self.engine) as connection:
            hold(connection, self.blobs, [kept, *(upload.content for upload in uploads)])
            row = {"id": exam, "owner": owner, "card": kept, "created": now}
            if not insert_new(connection, EXAMS, row):
                return exam, False
            for number, upload in enumerate(uploads, 1):
                values = {"exam": exam, "number": number, "name": upload.name[:255]}
                values |= {"kind": upload.kind, "content": upload.content}
                connection.execute(insert(IMAGES).values(values))
                payload = {"exam": exam, "image": number}
                self.queue.enqueue(KIND, f"{exam}/{number}", payload, connection)
            if is_gone():
                raise ClientGoneError("the client left")
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
            "picture": outcome.picture and self.blobs.put(outcome.picture),
            "heatmap": outcome.heatmap and self.blobs.put(outcome.heatmap),
            "finished": time.time(),
        }
        files = [values["result"], values["picture"], values["heatmap"]]
        exam, number = job.payload["exam"], job.payload["image"]
        try:
            with self.queue.completing(job) as connection:
                hold(connection, self.blobs, files)
                here = (IMAGES.c.exam == exam) & (IMAGES.c.number == number)
                connection.execute(update(IMAGES).where(here).values(values))
                found = outcome.item["findings"] or () if outcome.findings is None else outcome.findings
                for count, finding in enumerate(found, 1):
                    _insert_finding(connection, exam, number, count, finding)
                progress.forget(connection, exam, number)
        except LostLeaseError:
            discard(self.engine, self.blobs, files)
            raise

    def exam(self, exam: str, owner: str | None = None) -> dict[str, Any]:
        """Everything known of an exam as plain JSON values. Raises ``NotFoundError``, also if it is not ``owner``'s."""
        with reading(self.engine) as connection:
            head = connection.execute(select(EXAMS).where(EXAMS.c.id == exam)).first()
            if head is None or owner not in (None, head.owner):
                raise NotFoundError("there is no such exam")
            images = connection.execute(
                select(IMAGES).where(IMAGES.c.exam == exam).order_by(IMAGES.c.number)
            ).all()
            dead = _dead(connection, exam) if any(row.status is None for row in images) else set()
            described = describe_images(connection, self.blobs, images, dead)
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
            far = progress.progress_of(connection, [row.id for row in rows if row.waiting])
        return [
            {
                "id": row.id,
                "owner": row.owner,
                "created": row.created,
                "name": names.get(row.id, ""),
                "images": row.images,
                "state": "waiting" if row.waiting else "failed" if row.failed == row.images else "done",
                "progress": progress.total([come for (exam, _), come in far.items() if exam == row.id]),
            }
            for row in rows
        ]

    def frames(self, row: Row[Any], wanted: Iterable[int] | None = None) -> Iterator[dict[str, Any]]:
        """The frames of a loop (all, or those ``wanted``) as plain JSON values, one at a time; none of a still.

        ``row`` is as ``image`` gives it. Raises ``NotFoundError`` for a frame that it has not.
        """
        result = stored_result(self.blobs, row)
        count = len(result["cine"]["frames"]) if result.get("cine") else 0
        for frame in range(1, count + 1) if wanted is None else wanted:
            if not 1 <= frame <= count:
                raise NotFoundError("there is no such frame")
            with reading(self.engine) as connection:
                told = describe_frame(connection, row, result, frame)
            yield told


def _insert_finding(
    connection: Connection, exam: str, image: int, number: int, item: Mapping[str, Any]
) -> None:
    values = {"exam": exam, "image": image, "number": number, "version": 1, "review": AI, "author": AI}
    values |= {"item": json.dumps(item, allow_nan=False), "created": time.time()}
    connection.execute(insert(FINDINGS).values(values))


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

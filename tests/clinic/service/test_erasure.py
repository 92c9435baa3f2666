"""Erasing exams: everything of them goes and nothing of others, whoever is killed when."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select, update

from senoscope.clinic.service import audit
from senoscope.clinic.service.blobs import Blobs
from senoscope.clinic.service.database import METADATA, open_database, reading, writing
from senoscope.clinic.service.erasure import erase, finish_erasures
from senoscope.clinic.service.errors import BusyError, NotFoundError
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.references import discard_orphans
from senoscope.clinic.service.store import KIND, Store, Upload
from senoscope.clinic.service.tables import EXAMS, IMAGES
from senoscope.clinic.service.worker import work_on
from senoscope.inference.analyzer import Analyzer

ASKED = {"user": "kim", "role": "admin", "source": "10.0.0.7"}
NAME = "KIM-MINJI-19610203.png"


def rows(engine: Engine) -> dict[str, int]:
    """Rows by table, of those that have any; ``home`` apart, which tells of no exam."""
    with reading(engine) as connection:
        counts = {
            name: connection.execute(select(func.count()).select_from(METADATA.tables[name])).scalar_one()
            for name in ("exams", "images", "findings", "jobs", "progress", "erasures")
        }
    return {name: count for name, count in counts.items() if count}


def files(local: Any) -> set[str]:
    return set(local.service.blobs.names())


def referred(store: Store) -> set[str]:
    columns = (IMAGES.c.content, IMAGES.c.result, IMAGES.c.picture, IMAGES.c.heatmap, EXAMS.c.card)
    with reading(store.engine) as connection:
        return {name for column in columns for name in connection.execute(select(column)).scalars() if name}


def deletions(data: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (data / "audit.jsonl").read_text().splitlines()]
    assert audit.verify(data / "audit.jsonl").lines == len(lines)
    return [line for line in lines if line["event"] == audit.DELETED]


def test_an_erased_exam_is_gone_and_what_others_use_stays(
    make_local: Callable[..., Any], url: str, lesion: bytes, draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    local = make_local(database=url)
    alone, both = local.send(lesion, name=NAME), local.send(lesion, draw(3))
    assert local.work() == 3
    review = {"action": "reject", "version": 1}
    assert local.client.put(f"/api/exams/{alone}/images/1/findings/1", json=review).status_code == 200
    before = files(local)

    assert local.client.delete(f"/api/exams/{alone}").status_code == 204
    for path in ("", "/images/1/picture.png", "/images/1/findings/1", "/report.json"):
        assert local.client.get(f"/api/exams/{alone}{path}").status_code == 404
    assert local.client.delete(f"/api/exams/{alone}").status_code == 404
    assert rows(local.service.store.engine) == {"exams": 1, "images": 2, "findings": 2, "jobs": 2}
    assert files(local) == referred(local.service.store)
    # Image, picture and heatmap are also the other's; so is the result where both took the same time to 0.1 ms.
    assert len(before - files(local)) <= 1
    assert local.client.get(f"/api/exams/{both}/images/1/picture.png").status_code == 200

    assert local.client.delete(f"/api/exams/{both}").status_code == 204
    assert files(local) == set()
    assert rows(local.service.store.engine) == {}
    said = deletions(tmp_path / "data")
    assert [(line["subject"], line["action"], line["user"], line["role"]) for line in said] == [
        (alone, "D", "local", "admin"),
        (both, "D", "local", "admin"),
    ]
    assert local.send(lesion) == alone  # it may come back, and is read anew
    assert local.work() == 1
    local.service.queue.engine.dispose()


def test_no_name_is_left_in_the_database_file(local: Any, lesion: bytes, tmp_path: Path) -> None:
    exam, path = local.send(lesion, name=NAME), tmp_path / "data" / "service.sqlite"
    local.client.delete(f"/api/exams/{exam}")
    with local.service.queue.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")  # a checkpoint is no transaction
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert NAME.encode() not in path.read_bytes()


def test_only_administrators_erase(
    tokens: dict[str, str], make_local: Callable[..., Any], lesion: bytes, refused: Any
) -> None:
    local = make_local()
    reader, admin = ({"Authorization": f"Bearer {tokens[role]}"} for role in ("reader", "admin"))
    made = local.client.post("/api/exams", files={"files": ("a.png", lesion)}, headers=reader).json()["id"]
    refused(local.client.delete(f"/api/exams/{made}"), 401)
    refused(local.client.delete(f"/api/exams/{made}", headers=reader), 403)
    assert local.client.get(f"/api/exams/{made}", headers=reader).status_code == 200
    assert local.client.delete(f"/api/exams/{made}", headers=admin).status_code == 204


class Meddler:
    """An analyzer during whose work an exam is erased."""

    def __init__(self, analyzer: Analyzer, meddle: Callable[[], object]) -> None:
        self._analyzer, self._meddle = analyzer, meddle
        self.bundle = analyzer.bundle

    def examine(self, *given: Any) -> Any:
        self._meddle()
        return self._analyzer.examine(*given)


def test_80_erased_exams_are_not_analysed_or_end_without_a_result(
    make_local: Callable[..., Any], url: str, draw: Callable[[int], bytes]
) -> None:
    local = make_local(database=url)
    queued, running, other = (local.send(draw(seed)) for seed in range(3))
    local.client.delete(f"/api/exams/{queued}")
    job = local.service.queue.claim([KIND], "w")
    assert job is not None
    assert job.payload["exam"] == running
    meddler = Meddler(local.analyzer, lambda: local.client.delete(f"/api/exams/{running}"))
    work_on(local.service.store, meddler, job)  # type: ignore[arg-type]
    assert local.work() == 1
    assert local.client.get(f"/api/exams/{other}").json()["state"] == "done"
    assert rows(local.service.store.engine) == {"exams": 1, "images": 1, "findings": 1, "jobs": 1}
    assert files(local) == referred(local.service.store)
    local.service.queue.engine.dispose()


def test_an_upload_whose_file_is_erased_in_between_is_sent_again(local: Any, lesion: bytes) -> None:
    store, card = local.service.store, local.service.bundle.card
    exam = local.send(lesion)
    upload = Upload("a", "PNG", store.blobs.put([lesion]))  # already there: another exam's
    local.client.delete(f"/api/exams/{exam}")
    with pytest.raises(BusyError) as caught:
        store.add_exam("kim", card, [upload])
    assert caught.value.retry_after == 1
    assert rows(store.engine) == {}


def test_uploads_and_erasures_at_once_leave_no_exam_without_its_files(
    engine: Engine, url: str, tmp_path: Path, fake_folder: Path
) -> None:
    card, end = Analyzer(fake_folder, threads=1).bundle.card, time.monotonic() + 2.5
    counts, wrong = {"added": 0, "erased": 0, "again": 0}, []

    def store() -> Store:
        own = open_database(url)
        return Store(own, Blobs(tmp_path), Queue(own), b"k")

    def upload(owner: str) -> None:
        mine = store()
        while time.monotonic() < end:
            try:
                exam, _ = mine.add_exam(owner, card, [Upload("a", "PNG", mine.blobs.put([b"same"]))])
                counts["added"] += 1
                row = mine.image(exam, 1)
                mine.blobs.read(row.content)
            except BusyError:
                counts["again"] += 1
            except NotFoundError:  # erased by now, and not merely its file
                if mine.owner(exam) is not None:
                    wrong.append(exam)
        mine.engine.dispose()

    def sweep() -> None:
        mine = store()
        while time.monotonic() < end:
            for exam in mine.exams(None, 10):
                counts["erased"] += erase(mine, exam["id"], ASKED)
                finish_erasures(mine, lambda *_: None)
        mine.engine.dispose()

    threads = [threading.Thread(target=upload, args=(owner,)) for owner in "ab"]
    threads += [threading.Thread(target=sweep)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = Store(engine, Blobs(tmp_path), Queue(engine), b"k")
    assert min(counts["added"], counts["erased"]) > 5, counts
    assert wrong == []
    assert all(left.blobs.has(name) for name in referred(left))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def erase_and_die(url: str, data: Path, exam: str, moment: str) -> None:
    engine = open_database(url)
    store = Store(engine, Blobs(data / "blobs"), Queue(engine), b"")
    log = audit.AuditLog(data / "audit.jsonl")
    if moment == "before":
        event.listen(engine, "commit", lambda _: die())
    erase(store, exam, ASKED)
    if moment == "after":
        die()
    removed, remove = [], store.blobs.remove

    def remove_one(name: str) -> None:
        if removed:
            die()
        remove(name)
        removed.append(name)

    if moment == "files":
        store.blobs.remove = remove_one  # type: ignore[method-assign]

    def note(subject: str, asked: Any) -> None:
        log.write(audit.DELETED, action="D", subject=subject, **asked)
        if moment == "audited":
            die()

    finish_erasures(store, note)


@pytest.mark.parametrize("moment", ["before", "after", "files", "audited"])
def test_killed_at_any_moment_an_exam_is_there_or_not(
    make_local: Callable[..., Any], url: str, lesion: bytes, tmp_path: Path, moment: str
) -> None:
    local = make_local(database=url)
    exam = local.send(lesion, name=NAME)
    local.work()
    whole, before = local.client.get(f"/api/exams/{exam}").json(), files(local)
    local.service.queue.engine.dispose()
    process = multiprocessing.get_context("fork").Process(
        target=erase_and_die, args=(url, tmp_path / "data", exam, moment)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    answer = local.client.get(f"/api/exams/{exam}")
    local.service.upkeep.start()
    if moment == "before":
        assert answer.json() == whole
        assert files(local) == before
        assert deletions(tmp_path / "data") == []
    else:
        assert answer.status_code == 404
        assert files(local) == set()
        assert rows(local.service.store.engine) == {}
        said = deletions(tmp_path / "data")
        assert {(line["subject"], line["user"], line["source"]) for line in said} == {
            (exam, "kim", "10.0.0.7")
        }
        assert len(said) == (2 if moment == "audited" else 1)
    local.service.queue.engine.dispose()


def test_files_of_nobody_are_swept_at_the_start(local: Any, lesion: bytes) -> None:
    local.send(lesion)
    kept = files(local)
    local.service.blobs.put([b"of an upload whose server was killed"])
    discard_orphans(local.service.store.engine, local.service.blobs)
    assert files(local) == kept


def test_exams_older_than_keep_days_go(
    make_local: Callable[..., Any], start: Callable[..., Any], draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    local = make_local(keep_days=30)
    old, new = local.send(draw(0)), local.send(draw(1))
    waiting = local.send(draw(2))
    for exam, days in ((old, 30.1), (new, 29.9), (waiting, 31)):
        with writing(local.service.store.engine) as connection:
            created = time.time() - days * 86_400
            connection.execute(update(EXAMS).where(EXAMS.c.id == exam).values(created=created))
    local.service.upkeep.tend()
    assert [exam["id"] for exam in local.client.get("/api/exams").json()["exams"]] == [new]
    assert files(local) == referred(local.service.store)
    assert {(line["subject"], line["role"]) for line in deletions(tmp_path / "data")} == {
        (old, "keep-days"),
        (waiting, "keep-days"),
    }
    local.service.queue.engine.dispose()
    server = start("--keep-days", "29", ready=False)
    assert server.client.get("/api/exams").json()["exams"] == []

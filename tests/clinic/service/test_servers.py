"""Several servers on one PostgreSQL database and one data folder: nothing lost, doubled or swept away, whoever dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from senoscope.clinic.service import audit
from senoscope.clinic.service.database import open_database, reading
from senoscope.clinic.service.home import settle
from senoscope.clinic.service.lives import Life
from senoscope.clinic.service.queue import Queue
from senoscope.clinic.service.settings import open_folders
from senoscope.clinic.service.store import KIND
from senoscope.errors import ConfigError, UsageError


def live_and_die(folder: Path) -> None:
    life = Life(folder)
    (life.incoming / "half").write_bytes(b"half of an image")
    os.kill(os.getpid(), signal.SIGKILL)


def test_only_what_dead_servers_were_receiving_is_removed(tmp_path: Path) -> None:
    ours, other = Life(tmp_path), Life(tmp_path)
    for life in (ours, other):
        (life.incoming / "half").write_bytes(b"half of an image")
    process = multiprocessing.get_context("fork").Process(target=live_and_die, args=(tmp_path,))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 3
    (dead,) = ours.bury_the_dead()
    assert dead not in (ours.name, other.name)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {ours.name, other.name}
    assert (other.incoming / "half").exists()
    assert ours.bury_the_dead() == []
    other.end()
    assert not other.incoming.exists()


def test_a_folder_is_one_servers_or_that_of_several_on_postgresql(tmp_path: Path) -> None:
    folders = open_folders(tmp_path)
    alone = folders.lock()
    for shared in (False, True):
        with pytest.raises(UsageError, match="another server is using"):
            folders.lock(shared=shared)
    os.close(alone)
    together = [folders.lock(shared=True) for _ in range(2)]
    with pytest.raises(UsageError, match="another server is using"):
        folders.lock()
    for handle in together:
        os.close(handle)


def test_a_database_belongs_to_one_folder(engine: Engine) -> None:
    settle(engine, b"a" * 32)
    settle(engine, b"a" * 32)
    with pytest.raises(ConfigError, match="another data folder"):
        settle(engine, b"b" * 32)


def test_postgresql_looks_soon_for_a_machine_that_lost_power(cluster: Any) -> None:
    with reading(open_database(f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres")) as connection:
        settings = ("idle", "interval", "count")  # of TCP; those of a socket in a folder read 0
        found = [connection.exec_driver_sql(f"SHOW tcp_keepalives_{name}").scalar_one() for name in settings]
    assert found == ["10", "5", "3"]


def test_two_servers_under_kill(
    start: Callable[..., Any], postgres: str, draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    def begin() -> Any:
        return start("--workers", "1", "--database", postgres, ready=False)

    servers = [begin(), begin()]
    for server in servers:
        server.wait_ready()
    exams = []
    for seed in range(18):
        answer = servers[seed % 2].client.post("/api/exams", files={"files": ("a.png", draw(seed))})
        assert answer.status_code == 201, answer.text
        exams.append(answer.json()["id"])
        if seed in (6, 13):  # with work in hand and in the queue, the one that was sent to last or the other
            victim = seed % 2
            servers[victim].kill()
            servers[victim] = begin()
    for exam in exams:
        (image,) = servers[0].wait_done(exam)["images"]
        assert (image["status"], [finding["version"] for finding in image["findings"]]) == ("analysed", [1])
    counts = servers[1].client.get("/api/queue").json()
    assert counts == {"images": {"queued": 0, "leased": 0, "done": 18, "dead": 0}, "dead_letters": []}
    assert len({exam["id"] for exam in servers[1].client.get("/api/exams").json()["exams"]}) == 18
    incoming = tmp_path / "data" / "blobs" / "incoming"
    assert len([path for path in incoming.iterdir() if path.is_dir()]) == 2
    assert audit.verify(tmp_path / "data" / "audit.jsonl").lines > 18
    assert [server.stop() for server in servers] == [0, 0]
    assert [path for path in incoming.iterdir() if path.is_dir()] == []


def test_a_server_that_starts_leaves_the_work_of_another_alone(
    start: Callable[..., Any], postgres: str, draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    first = start("--workers", "1", "--database", postgres)
    (worker,) = first.children()
    os.kill(worker, signal.SIGSTOP)
    time.sleep(1)  # what it was asking the queue just then is answered: nothing
    exam = first.client.post("/api/exams", files={"files": ("a.png", draw(0))}).json()["id"]
    (name,) = [path.name for path in (tmp_path / "data" / "blobs" / "incoming").iterdir() if path.is_dir()]
    queue = Queue(open_database(postgres), lease_s=600)
    assert queue.claim([KIND], f"{name}@here:worker-1.")  # as its worker, and for longer than we wait
    second = start("--workers", "1", "--database", postgres)
    other = second.client.post("/api/exams", files={"files": ("b.png", draw(1))}).json()["id"]
    second.wait_done(other)
    assert second.client.get("/api/queue").json()["images"]["leased"] == 1
    first.kill()
    (image,) = start("--workers", "1", "--database", postgres).wait_done(exam)["images"]  # it buries the dead
    assert (image["status"], [finding["version"] for finding in image["findings"]]) == ("analysed", [1])

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
from senoscope.clinic.service.home import settle
from senoscope.clinic.service.lives import Life
from senoscope.clinic.service.settings import open_folders
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
    start: Callable[..., Any], postgres: str, draw: Callable[[int], bytes]
) -> None:
    first = start("--workers", "1", "--database", postgres)
    (worker,) = first.children()
    exams = [
        first.client.post("/api/exams", files={"files": ("a.png", draw(seed))}).json()["id"]
        for seed in range(9)
    ]
    end, held = time.monotonic() + 30, 0
    while not held:
        assert time.monotonic() < end
        os.kill(worker, signal.SIGCONT)
        while not first.client.get("/api/queue").json()["images"]["leased"]:
            assert time.monotonic() < end
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.5)  # an answer that it had given just before is written down meanwhile
        held = first.client.get("/api/queue").json()["images"]["leased"]
    second = start("--workers", "1", "--database", postgres)
    for exam in exams[-3:]:
        second.wait_done(exam)
    assert second.client.get("/api/queue").json()["images"]["leased"] == held
    os.kill(worker, signal.SIGCONT)
    for exam in exams:
        (image,) = second.wait_done(exam)["images"]
        assert [finding["version"] for finding in image["findings"]] == [1]

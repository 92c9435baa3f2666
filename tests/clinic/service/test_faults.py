"""Real servers whose database goes away, whose disk is full: said in words, and over by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from senoscope.clinic.service import audit

Refused = Callable[[Any, int], dict[str, Any]]

# ``senoscope serve`` whose data folder is a disk of its own, of 24 MB.
SMALL_DISK = """
import os, sys
mount = 'mount -t tmpfs -o size=24m none "$0" && exec "$@"'
data = sys.argv[sys.argv.index("--data-dir") + 1]
os.makedirs(data)
serve = [sys.executable, "-m", "senoscope", "serve", *sys.argv[1:]]
os.execvp("unshare", ["unshare", "-Urm", "sh", "-c", mount, data, *serve])
"""


def post(server: Any, image: bytes) -> httpx.Response:
    answer: httpx.Response = server.client.post("/api/exams", files={"files": ("a.png", image)})
    return answer


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_its_database_it_says_so_and_recovers(
    start: Callable[..., Any], cluster: Any, postgres: str, draw: Callable[[int], bytes], refused: Refused
) -> None:
    server = start("--workers", "1", "--database", postgres)
    done = post(server, draw(0)).json()["id"]
    server.wait_done(done)
    (worker,) = server.children()
    os.kill(worker, signal.SIGSTOP)  # so that the next ones are still queued
    queued = [post(server, draw(seed)).json()["id"] for seed in (1, 2)]
    cluster.halt()
    try:
        for answer in (
            post(server, draw(3)),
            server.client.get("/api/exams"),
            server.client.get(f"/api/exams/{done}"),
            server.client.get("/metrics"),
            server.client.delete(f"/api/exams/{done}"),
        ):
            refused(answer, 503)
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        until(lambda: server.client.get("/v2/health/ready").status_code == 503)
        assert server.client.get("/v2/health/live").status_code == 200
        os.kill(worker, signal.SIGCONT)
    finally:
        cluster.start()
    server.wait_ready()
    again = post(server, draw(3))
    assert again.status_code == 201
    for exam in (done, *queued, again.json()["id"]):
        (image,) = server.wait_done(exam)["images"]
        assert (image["status"], [finding["version"] for finding in image["findings"]]) == ("analysed", [1])
    assert server.children() == [worker]
    cluster.halt()
    try:
        assert server.stop() == 0  # an orderly end needs no database either
    finally:
        cluster.start()


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))


def test_a_full_disk_refuses_uploads_and_recovers(
    start: Callable[..., Any], draw: Callable[[int], bytes], refused: Refused, tmp_path: Path
) -> None:
    try:
        subprocess.run(
            ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a disk of their own")
    server = start("--workers", "1", command=("-c", SMALL_DISK))
    data = Path(f"/proc/{server.process.pid}/root{tmp_path}/data")
    first = post(server, draw(0)).json()["id"]
    server.wait_done(first)

    def kept() -> set[str]:
        return {path.name for path in (data / "blobs").rglob("*") if path.is_file()}

    before = kept()
    fill(data / "filler")
    refused(post(server, draw(1)), 507)
    refused(post(server, draw(1) + bytes(3_000_000)), 507)  # too large to be held in memory meanwhile
    looks = [
        server.client.get(f"/api/exams/{first}") for _ in range(20)
    ]  # until the audit log's block is full
    refused(looks[-1], 507)  # who looked could not be put on record
    assert server.client.get("/v2/health/live").status_code == 200
    assert kept() == before
    (data / "filler").unlink()
    second = post(server, draw(1))
    assert second.status_code == 201
    assert server.wait_done(second.json()["id"])["images"][0]["status"] == "analysed"
    assert len(server.client.get("/api/exams").json()["exams"]) == 2
    assert audit.verify(data / "audit.jsonl").lines > 5

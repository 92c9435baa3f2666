"""Row 80 in real servers: what a client sent that left before it was acknowledged is never analysed, nor kept."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORM = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n%s\r\n--x--\r\n'
HEAD = "POST /api/exams HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"


def test_80_a_client_that_leaves_before_the_answer(
    start: Callable[..., Any], draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    server = start("--workers", "1")
    lock = sqlite3.connect(tmp_path / "data" / "service.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")  # the server has the whole upload, and waits to record it
    gone = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    body = FORM % draw(1)
    gone.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    end = time.monotonic() + 30
    while not any((tmp_path / "data" / "blobs").glob("[0-9a-f][0-9a-f]/*")):
        assert time.monotonic() < end
        time.sleep(0.05)
    gone.close()
    time.sleep(0.5)
    lock.execute("ROLLBACK")
    lock.close()
    stays = server.client.post("/api/exams", files={"files": ("a.png", draw(2))}).json()["id"]
    server.wait_done(stays)
    assert [exam["id"] for exam in server.client.get("/api/exams").json()["exams"]] == [stays]
    assert server.client.get("/api/queue").json()["images"] == {
        "queued": 0,
        "leased": 0,
        "done": 1,
        "dead": 0,
    }
    kept = [path.read_bytes() for path in (tmp_path / "data" / "blobs").glob("[0-9a-f][0-9a-f]/*")]
    assert draw(2) in kept
    assert draw(1) not in kept

"""Real servers: slow clients, overload, clients that leave, and pages that listen (rows 73, 74, 80)."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def connect(server: Any) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    made.settimeout(30)
    return made


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def upload_head(length: int, kind: str = "multipart/form-data; boundary=x") -> bytes:
    return (
        f"POST /api/exams HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_73_slow_and_idle_sockets_time_out(start: Callable[..., Any]) -> None:
    server = start(ready=False)
    begun = time.monotonic()
    idle, dripping, stuck = connect(server), connect(server), connect(server)
    dripping.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    stuck.sendall(upload_head(1000) + b"--x\r\n")  # and never the rest
    assert read_all(idle) == b""
    assert read_all(dripping) == b""
    assert read_all(stuck).startswith(b"HTTP/1.1 408")
    assert 8 < time.monotonic() - begun < 40
    assert server.client.get("/v2/health/live").status_code == 200


def test_74_refused_before_the_body_and_80_clients_that_leave(
    start: Callable[..., Any], draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    server = start("--workers", "1", "--queue-limit", "1")
    leaving = connect(server)  # an upload that is never finished holds the only place
    leaving.sendall(
        upload_head(100_000) + b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    )
    time.sleep(0.5)
    refused = connect(server)
    refused.sendall(upload_head(50_000_000))  # the head alone: no byte of the body
    answer = read_all(refused)
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"retry-after: " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 429
    leaving.close()
    end = time.monotonic() + 20
    files = {"files": ("a.png", draw(0))}
    while (sent := server.client.post("/api/exams", files=files)).status_code == 429:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert sent.status_code == 201
    server.wait_done(sent.json()["id"])
    assert len(server.client.get("/api/exams").json()["exams"]) == 1  # nothing is left of the one that left
    incoming = tmp_path / "data" / "blobs" / "incoming"
    assert {path.name for path in incoming.rglob("*") if path.is_file()} == {"lock"}


def test_events_tell_of_a_result(start: Callable[..., Any], draw: Callable[[int], bytes]) -> None:
    server = start("--workers", "1")
    heard: list[str] = []

    def listen() -> None:
        with server.client.stream("GET", "/api/events") as stream:
            for line in stream.iter_lines():
                heard.append(line)
                if heard.count(line) == 2 and line.startswith("data: "):
                    return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    time.sleep(0.5)
    exam = server.client.post("/api/exams", files={"files": ("a.png", draw(0))}).json()["id"]
    thread.join(30)
    assert heard.count(f"data: {exam}") == 2  # received, analysed

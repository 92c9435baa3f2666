"""Real servers: an orderly end, one server per folder, and no patient in any log (rows 77, 81)."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from senoscope.clinic.service import audit

SEEDS = ("ZEBRA^QUAGGA", "MRN-7731-ZQ", "19610203", "Zebrahospital")


def connect(server: Any) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    made.settimeout(30)
    return made


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def test_two_servers_do_not_share_a_folder(start: Callable[..., Any], tmp_path: Path) -> None:
    start(ready=False)
    command = [
        sys.executable,
        "-m",
        "senoscope",
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "another server is using" in second.stderr


def test_an_orderly_end_finishes_what_is_being_done(
    start: Callable[..., Any], draw: Callable[[int], bytes], tmp_path: Path
) -> None:
    server = start("--workers", "1")
    exams = [
        server.client.post("/api/exams", files={"files": ("a.png", draw(seed))}).json()["id"]
        for seed in range(4)
    ]
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(35) == 0
    assert time.monotonic() - begun < 30
    verified = audit.verify(tmp_path / "data" / "audit.jsonl")
    events = [json.loads(line) for line in (tmp_path / "data" / "audit.jsonl").read_text().splitlines()]
    assert verified.lines == len(events)
    assert [events[0]["event"], events[-1]["event"]] == [audit.START, audit.STOP]
    assert [event["subject"] for event in events if event["event"] == audit.IMPORT] == exams
    again = start("--workers", "1")
    assert [again.wait_done(exam)["state"] for exam in exams] == ["done"] * 4


def seeded_dicom(stills: ModuleType, *, broken: bool) -> bytes:
    """An ultrasound still with a made-up patient in every place that holds one."""
    pixels = np.random.default_rng(0).integers(20, 200, (128, 128), dtype=np.uint8)
    names = ("PatientName", "PatientID", "PatientBirthDate", "InstitutionName")
    data = stills.still(pixels, **dict(zip(names, SEEDS, strict=True)))
    if broken:
        data.PixelData = data.PixelData[:500]
    made: bytes = stills.file_bytes(data)
    return made


def test_77_81_no_patient_in_logs_metrics_or_errors(
    start: Callable[..., Any], stills: ModuleType, tmp_path: Path
) -> None:
    server = start("--workers", "1", "--verbose")
    seed = SEEDS[0]
    said = []
    for broken in (False, True):
        files = {"files": (f"{seed}.dcm", seeded_dicom(stills, broken=broken))}
        made = server.client.post(
            "/api/exams", files=files, headers={"X-Patient": seed, "Referer": f"http://a/{seed}"}
        )
        said.append(made.text)
        made = server.client.post("/api/exams", files=files, headers={"X-Patient": seed})
        found = server.wait_done(made.json()["id"])
        said += [json.dumps([image["notes"] for image in found["images"]])]
    for path in (f"/{seed}", f"/api/exams/{seed}", f"/api/exams?limit={seed}", f"/v2/models/{seed}"):
        said.append(server.client.get(path).text)
    crlf = connect(server)
    crlf.sendall(f"GET /{seed}%0d%0aforged HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    said.append(read_all(crlf).decode())
    garbage = connect(server)
    garbage.sendall(f"{seed} \x01\r\n\r\n".encode())
    said.append(read_all(garbage).decode("latin-1"))
    said.append(server.client.get("/metrics").text)
    assert server.stop() == 0
    said += [server.log.read_text(), (tmp_path / "data" / "audit.jsonl").read_text()]
    for text in said:
        for word in (*SEEDS, "ZEBRA", "forged"):
            assert word not in text, text
    assert "POST /api/exams 201" in said[-2]  # it does log

"""kill -9 while a loop is analysed: it is analysed again, whole and once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FRAMES = 300


@pytest.fixture
def long_loop(fake: ModuleType, stills: ModuleType) -> bytes:
    """The same lesion in every frame."""
    picture = (fake.draw_exam((120, 130, 40, 0.1)) * 255).astype("uint8")
    data: bytes = stills.file_bytes(stills.loop(np.repeat(picture[None], FRAMES, axis=0)))
    return data


def wait_for_progress(server: Any, exam: str) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        (image,) = server.client.get(f"/api/exams/{exam}").json()["images"]
        assert image["status"] == "waiting", "the loop was too short to be interrupted"
        if image["progress"] is not None:
            return int(image["progress"]["done"])
        time.sleep(0.01)
    raise AssertionError(server.log.read_text())


def test_a_loop_survives_the_death_of_its_worker_and_of_its_server(
    start: Callable[..., Any], long_loop: bytes
) -> None:
    server = start("--workers", "1")
    sent = server.client.post("/api/exams", files={"files": ("loop.dcm", long_loop)})
    assert sent.status_code == 201, sent.text
    exam = sent.json()["id"]
    assert 0 < wait_for_progress(server, exam) < FRAMES
    (worker,) = server.children()
    os.kill(worker, signal.SIGKILL)
    time.sleep(1.0)
    server.kill()
    server = start("--workers", "1")
    (image,) = server.wait_done(exam)["images"]
    assert (image["status"], image["progress"]) == ("analysed", None)
    assert (image["cine"]["frames"], image["cine"]["analysed"]) == (FRAMES, FRAMES)
    assert [mark["frame"] for mark in image["cine"]["marks"]] == list(range(1, FRAMES + 1))
    numbers = []
    for frame in (1, 2, FRAMES // 2, FRAMES):
        told = server.client.get(f"/api/exams/{exam}/images/1/frames/{frame}").json()
        numbers += [(finding["number"], finding["version"]) for finding in told["findings"]]
    assert numbers == [(1, 1), (2, 1), (FRAMES // 2, 1), (FRAMES, 1)]
    beyond = server.client.get(f"/api/exams/{exam}/images/1/findings/{FRAMES + 1}")
    assert beyond.status_code == 404
    assert server.stop() == 0

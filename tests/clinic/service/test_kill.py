"""kill -9: nothing that was acknowledged is lost, no result is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, select

from senoscope.clinic.service.database import open_database, reading
from senoscope.clinic.service.queue import Queue

RESULTS = Table(
    "kill_results", MetaData(), Column("id", Integer, primary_key=True), Column("key", String(20))
)
JOBS = 60

# Claims and completes as fast as it can, writing one row per job, until it is killed or nothing is left.
WORKER = """
import sys, time
from sqlalchemy import MetaData, Table, insert
from senoscope.clinic.service.database import open_database
from senoscope.clinic.service.queue import Queue
engine = open_database(sys.argv[1])
queue = Queue(engine, lease_s=0.5, max_attempts=100)
table = Table("kill_results", MetaData(), autoload_with=engine)
while queue.waiting("a"):
    job = queue.claim(["a"], sys.argv[2])
    if job is None:
        time.sleep(0.02)
        continue
    time.sleep(0.004)
    try:
        with queue.completing(job) as connection:
            connection.execute(insert(table).values(key=job.key))
    except Exception:
        continue
"""


def test_workers_killed_at_any_moment_do_each_job_once(engine: Engine, url: str) -> None:
    RESULTS.drop(engine, checkfirst=True)
    RESULTS.create(engine)
    queue = Queue(engine)
    for number in range(JOBS):
        queue.enqueue("a", str(number), {})
    pick = random.Random(5)  # noqa: S311

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, url, "w"], stderr=subprocess.DEVNULL)

    crew = [spawn() for _ in range(2)]
    kills, end = 0, time.monotonic() + 60
    try:
        while queue.waiting("a") and time.monotonic() < end:
            if kills < 5 and queue.counts("a")["done"] > kills * 8:  # spread over the work, at odd moments
                time.sleep(pick.uniform(0.0, 0.03))
                victim = pick.randrange(2)
                crew[victim].kill()
                crew[victim].wait()
                crew[victim] = spawn()
                kills += 1
            time.sleep(0.01)
    finally:
        for process in crew:
            process.kill()
            process.wait()
    assert kills == 5
    assert queue.counts("a") == {"queued": 0, "leased": 0, "done": JOBS, "dead": 0}
    with reading(engine) as connection:
        keys = list(connection.execute(select(RESULTS.c.key)).scalars())
    RESULTS.drop(engine)
    assert sorted(keys, key=int) == [str(number) for number in range(JOBS)]


def test_a_killed_server_loses_no_acknowledged_exam(
    start: Callable[..., object], draw: Callable[[int], bytes]
) -> None:
    server = start("--workers", "1")
    exams = [send(server, draw(seed)) for seed in range(12)]
    server.kill()  # everything at once, most of it not analysed yet
    server = start("--workers", "1")
    for exam in exams:
        found = server.wait_done(exam)
        assert [image["status"] for image in found["images"]] == ["analysed"]
        assert [finding["version"] for finding in found["images"][0]["findings"]] == [1]
    assert send(server, draw(0)) == exams[0]  # a client that never heard the answer sends it again
    (worker,) = server.children()
    exam = send(server, draw(99))
    os.kill(worker, signal.SIGKILL)
    assert server.wait_done(exam)["images"][0]["status"] == "analysed"
    assert server.children() != [worker]
    assert server.stop() == 0
    engine = open_database(f"sqlite:///{server.data}/service.sqlite")
    assert Queue(engine).counts() == {"queued": 0, "leased": 0, "done": 13, "dead": 0}


def send(server: object, image: bytes) -> str:
    answer = server.client.post("/api/exams", files={"files": ("exam.png", image)})  # type: ignore[attr-defined]
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])

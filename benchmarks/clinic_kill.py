"""kill -9, fifty times at random moments: does anything acknowledged get lost, or any result appear twice?

A client sends images without pause and notes every one that was acknowledged. Meanwhile a worker, or the server with
all its workers, is killed and, if it was the server, started again. At the end every acknowledged exam must be
analysed, with version 1 of each finding and nothing else. Writes docs/results/clinic-kill.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

from clinic_overload import Endless
from clinic_server import RESULTS, Server, exams, form, machine
from senoscope._files import write_text


class Client(threading.Thread):
    """Sends images one after another to whatever server there is; remembers what was acknowledged."""

    def __init__(self, images: Endless) -> None:
        super().__init__(daemon=True)
        self._images = images
        self.port = 0
        self.acknowledged: set[str] = set()
        self.tried = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Until told to end."""
        while not self.ended.is_set():
            body, kind = form(self._images[0])
            self.tried += 1
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("POST", "/api/exams", body, {"Content-Type": kind, "Host": "localhost"})
                answer = connection.getresponse()
                text = answer.read()
                connection.close()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if answer.status in (200, 201):
                self.acknowledged.add(json.loads(text)["id"])
            elif answer.status == 429:
                time.sleep(0.1)


def main() -> None:
    """Kill, wait for the rest to be done, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", help="a PostgreSQL URL instead of SQLite")
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic-kill.json")
    arguments = parser.parse_args()
    pick, about = random.Random(arguments.seed), machine()  # noqa: S311
    client, begun = Client(Endless(exams(24))), time.perf_counter()
    kills = {"server": 0, "worker": 0}
    more = ("--database", arguments.database) if arguments.database else ()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        server = Server(data, *more)
        client.port = server.port
        client.start()
        try:
            for number in range(arguments.kills):
                time.sleep(pick.uniform(0.2, 1.5))
                workers = server.workers()
                if number % 2 and workers:
                    os.kill(pick.choice(workers), signal.SIGKILL)
                    kills["worker"] += 1
                else:
                    server.kill()
                    kills["server"] += 1
                    server = Server(data, *more)
                    client.port = server.port
            client.ended.set()
            client.join()
            result = judge(server, client.acknowledged, data)
        finally:
            server.kill()
    result |= {
        "kills": kills,
        "tried": client.tried,
        "seconds": round(time.perf_counter() - begun, 1),
        "database": "PostgreSQL" if more else "SQLite",
        "about": {"how": __doc__, "seed": arguments.seed, "machine": about},
    }
    write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def judge(server: Server, acknowledged: set[str], data: Path) -> dict[str, object]:
    """Wait until nothing is left to do, then look at every acknowledged exam."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        counts = server.get("/api/queue")["images"]
        if counts["queued"] + counts["leased"] == 0:
            break
        time.sleep(0.5)
    lost, twice, unfinished = [], [], []
    for exam in sorted(acknowledged):
        try:
            found = server.get(f"/api/exams/{exam}")
        except OSError:
            lost.append(exam)
            continue
        (image,) = found["images"]
        if image["status"] != "analysed" and image["status"] != "out of scope":
            unfinished.append(exam)
        if any(finding["version"] != 1 for finding in image["findings"]):
            twice.append(exam)
    made = {
        "acknowledged": len(acknowledged),
        "lost": len(lost),
        "unfinished": len(unfinished),
        "doubled": len(twice),
        "queue": counts,
    }
    database = data / "service.sqlite"
    if database.exists():
        with sqlite3.connect(database) as connection:
            made["database_whole"] = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return made


if __name__ == "__main__":
    main()

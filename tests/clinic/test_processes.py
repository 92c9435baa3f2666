"""Child processes: replaced when they hang or die, drained on request, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="needs the [clinic] extra")

# A parent whose children behave as their names say. It prints one line per word and event, and obeys standard input.
FAMILY = """
import json, os, sys, threading, time
from functools import partial
from pathlib import Path
from senoscope.clinic.processes import BUSY, IDLE, Processes, is_told_to_stop
from senoscope.clinic.service.database import open_database
from senoscope.clinic.service.queue import Queue

folder = Path(sys.argv[1])
url = f"sqlite:///{folder}/queue.sqlite"

def note(what, **more):
    with (folder / "notes").open("a") as notes:
        notes.write(json.dumps({"what": what, "pid": os.getpid(), "time": time.monotonic(), **more}) + "\\n")

def life(kind, pipe, name):
    note("start")
    if kind == "stillborn":
        raise RuntimeError("Geheim^Greta")
    pipe.send((IDLE, ""))
    if kind == "hangs":
        Queue(open_database(url)).claim(["job"], name)
        pipe.send((BUSY, "image"))
        time.sleep(1000)
    if kind == "works":
        pipe.send((BUSY, "image"))
        time.sleep(1.0)
        pipe.send(("finished", "image"))
    while not is_told_to_stop(pipe, 0.1):
        pass
    note("end")

if __name__ == "__main__":
    kinds, busy_s = sys.argv[2].split(","), float(sys.argv[3])
    queue = Queue(open_database(url), lease_s=1000)
    queue.enqueue("job", "1", {})
    said = lambda child, word, detail: note("word", word=word)
    family = Processes({k: partial(life, k) for k in kinds}, queue, prefix="me:", busy_s=busy_s, on_word=said)
    family.start()
    for line in sys.stdin:
        if line.startswith("stop"):
            note("stopped", whole=family.stop(float(line.split()[1])), counts=queue.counts())
            sys.exit()
        raise RuntimeError("an accident")
"""


class Family:
    """The parent with its children, and what they noted."""

    def __init__(self, folder: Path, kinds: str, busy_s: float) -> None:
        self.notes_file, script = folder / "notes", folder / "family.py"
        self.notes_file.touch()
        script.write_text(FAMILY)
        with (folder / "log").open("wb") as log:
            self.parent = subprocess.Popen(
                [sys.executable, str(script), str(folder), kinds, str(busy_s)],
                stdin=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def notes(self, what: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.notes_file.read_text().splitlines()]
        return [line for line in lines if line["what"] == what]

    def words(self) -> list[object]:
        return [note["word"] for note in self.notes("word")]

    def say(self, words: str) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.write(f"{words}\n")
        self.parent.stdin.flush()


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    made: list[Family] = []

    def make(kinds: str, busy_s: float = 1000.0) -> Family:
        made.append(Family(tmp_path, kinds, busy_s))
        return made[-1]

    yield make
    for each in made:
        try:
            os.killpg(each.parent.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        each.parent.wait()


def wait_for(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def is_running(pid: object) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_one_that_hangs_is_replaced_and_its_job_is_put_back(family):
    made = family("hangs", busy_s=0.5)
    wait_for(lambda: made.words().count("busy") == 2)
    first, second = (note["pid"] for note in made.notes("start"))
    assert not is_running(first)
    assert is_running(second)
    made.say("stop 0.2")
    wait_for(lambda: made.notes("stopped"))
    (told,) = made.notes("stopped")
    assert told["whole"] is False  # it never ends by itself
    assert told["counts"] == {"queued": 1, "leased": 0, "done": 0, "dead": 0}
    assert not is_running(second)


def test_one_that_cannot_start_is_tried_at_growing_intervals_and_says_no_name(family, tmp_path):
    made = family("stillborn")
    wait_for(lambda: len(made.notes("start")) >= 3)
    times = [float(str(note["time"])) for note in made.notes("start")]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] >= 0.5
    assert gaps[1] >= 1.0
    log = (tmp_path / "log").read_text()
    assert "RuntimeError at life" in log
    assert "Geheim" not in log


def test_work_under_way_is_finished_and_heard_before_all_stop(family):
    made = family("works,idles")
    wait_for(lambda: "busy" in made.words() and made.words().count("idle") == 2)
    made.say("stop 20")
    wait_for(lambda: made.notes("stopped"))
    assert made.notes("stopped")[0]["whole"] is True
    assert "finished" in made.words()
    assert len(made.notes("end")) == 2


def test_signals_of_the_whole_group_leave_stopping_to_the_parent(family):
    made = family("idles")
    wait_for(lambda: "idle" in made.words())
    (child,) = (note["pid"] for note in made.notes("start"))
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(int(str(child)), number)
    time.sleep(0.5)
    assert is_running(child)
    made.say("stop 10")
    wait_for(lambda: made.notes("end"))


@pytest.mark.parametrize("how", ["killed", "accident"])
def test_no_child_outlives_its_parent(family, how):
    made = family("hangs,idles")
    wait_for(lambda: "busy" in made.words() and made.words().count("idle") == 2)
    if how == "killed":
        made.parent.kill()
    else:
        made.say("fall")
    assert made.parent.wait(10) != 0
    wait_for(lambda: not any(is_running(note["pid"]) for note in made.notes("start")), 5)

"""Running a plan: no job twice, a failure leaves the others running, a kill loses an epoch at most."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from senoscope.benchmark import runner
from senoscope.benchmark.divisions import Division
from senoscope.benchmark.jobs import TRACKS, Job, Plan, make_plan
from senoscope.benchmark.protocol import load_protocol
from senoscope.benchmark.results import load_result, path_of
from senoscope.benchmark.runner import BUSY, DONE, Bench, check_changes, run_plan
from senoscope.data import fake
from senoscope.errors import ConfigError, UsageError

pytest.importorskip("torch", reason="needs the [train] extra")

CHANGES = {"epochs": 4, "patience": 4, "image_size": 32, "batch": 8, "precision": "32-true"}
SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_runner import tiny
from senoscope.benchmark.runner import run_plan
plan, bench = tiny(Path(sys.argv[2]), Path(sys.argv[3]))
for job, state in run_plan(plan, bench, on_epoch=lambda job, epoch, of: print(epoch, flush=True)):
    print(state, flush=True)
"""


def tiny(root: Path, out: Path) -> tuple[Plan, Bench]:
    """One fold of the smallest system on a made-up copy of BUSI."""
    plan = make_plan(TRACKS["quick"], ["cnn-lstm"], ["busi"], [load_protocol("grouped-5fold")], folds=(1,),
                     variant="tiny", roots={"busi": root})  # fmt: skip
    return plan, Bench(out, {"busi": root}, threads=1, changes=CHANGES)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake.make("busi", tmp_path_factory.mktemp("data"), 60)


def plan_of(count: int) -> Plan:
    jobs = tuple(Job("quick", "busi", "grouped-5fold", "unet", fold, 0) for fold in range(1, count + 1))
    return Plan(jobs, (), dict.fromkeys((("busi", "grouped-5fold", 0),)))  # type: ignore[arg-type]


def pretend(log: Path) -> Callable[..., None]:
    """A stand-in for a training, which notes that it ran."""

    def train(job: Job, division: Division, bench: Bench, run: Path, on_epoch: Any) -> None:
        run.mkdir(parents=True)
        with log.open("a") as stream:
            stream.write(f"{job.fold} {os.getpid()}\n")
        time.sleep(0.05)
        path = path_of(bench.results, job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("done")

    return train


def work(out: Path, start: Barrier) -> None:
    start.wait(30)
    while BUSY in [state for _, state in run_plan(plan_of(8), Bench(out))]:
        time.sleep(0.02)


def test_two_processes_never_run_one_job_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_train_and_test", pretend(tmp_path / "log"))
    fork = get_context("fork")  # children keep the stand-in
    start = fork.Barrier(2)
    processes = [fork.Process(target=work, args=(tmp_path / "bench", start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(int(fold) for fold, _ in lines) == list(range(1, 9))
    assert len({process for _, process in lines}) == 2, "both worked"
    assert list((tmp_path / "bench" / "runs").rglob("run")) == [], (
        "runs are removed once their result is kept"
    )


def test_changes_are_checked_before_anything_runs(root: Path, tmp_path: Path) -> None:
    plan, bench = tiny(root, tmp_path)
    check_changes(plan, bench)
    with pytest.raises(ConfigError, match="did you mean 'lr'"):
        check_changes(plan, replace(bench, changes={"lrr": 0.1}))


def test_a_failure_leaves_the_others_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = pretend(tmp_path / "log")

    def train(job: Job, *rest: Any) -> None:
        if job.fold == 2:
            raise UsageError("this one cannot be")
        good(job, *rest)

    monkeypatch.setattr(runner, "_train_and_test", train)
    states = [(job.fold, state) for job, state in run_plan(plan_of(3), Bench(tmp_path))]
    assert states == [(1, DONE), (2, "this one cannot be."), (3, DONE)]
    assert [job.fold for job, _ in run_plan(plan_of(3), Bench(tmp_path))] == [2], "done ones are not touched"
    assert list(run_plan(plan_of(4), Bench(tmp_path), minutes=-1)) == [], "no time, no start"


@pytest.mark.slow
def test_a_killed_training_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(root), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGKILL)
    plan, bench = tiny(root, tmp_path)
    (job,) = plan.jobs
    assert not bench.is_done(job)
    assert list(bench.results.rglob("*")) == [], "nothing half-written"
    epochs: list[int] = []
    assert list(run_plan(plan, bench, on_epoch=lambda _, epoch, __: epochs.append(epoch))) == [(job, DONE)]
    assert epochs[-1] == 4
    assert epochs[0] >= 2, "the first epoch is not trained again"
    result = load_result(path_of(bench.results, job))
    assert result.job == job
    assert result.manifest["epochs"] == 4
    assert result.manifest["recipe"]["epochs"] == 4
    tested = {record.id for record in plan.divisions["busi", "grouped-5fold", 0].test[1]}
    table = result.table
    assert set(table.id[table.test]) == tested
    assert not tested & set(table.id[~table.test])
    assert str(root) not in json.dumps(result.manifest), "no path of this machine"

"""The same plan on a local Ray cluster: results come back whole, failures as words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from senoscope.benchmark.jobs import TRACKS, make_plan
from senoscope.benchmark.protocol import load_protocol
from senoscope.benchmark.results import load_result, path_of
from senoscope.benchmark.runner import DONE, Bench
from senoscope.data import fake

pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("ray", reason="needs the [cluster] extra")


@pytest.mark.slow
def test_jobs_run_on_the_nodes_and_results_come_back(tmp_path: Path) -> None:
    from senoscope.benchmark.cluster import run_on_cluster

    roots = {"busi": fake.make("busi", tmp_path / "data", 60)}
    changes = {"epochs": 1, "patience": 1, "image_size": 32, "batch": 8, "precision": "32-true"}
    bench = Bench(tmp_path / "bench", roots, threads=1, changes=changes)
    protocols = [load_protocol("grouped-5fold")]
    plan = make_plan(
        TRACKS["quick"], ["cnn-lstm"], ["busi"], protocols, folds=(1,), variant="tiny", roots=roots
    )
    (job,) = plan.jobs
    plan = replace(plan, jobs=(job, replace(job, system="no-such-system")))
    states = dict(run_on_cluster(plan, bench, "local"))
    assert states[job] == DONE
    assert "no system 'no-such-system'" in states[plan.jobs[1]]
    result = load_result(path_of(bench.results, job))
    assert len(result.table.where(result.table.test)) == len(
        plan.divisions["busi", "grouped-5fold", 0].test[1]
    )
    assert not path_of(bench.results, plan.jobs[1]).exists()
    assert [path.name for path in bench.folder.iterdir()] == ["results"], "no shared runs"

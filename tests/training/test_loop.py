"""The loop on simulated images: it learns, and a run that is killed ends as one that is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

from senoscope.errors import UsageError, WeightsError
from senoscope.training import runs
from senoscope.training.build import build_system
from senoscope.training.checkpoint import load_state
from senoscope.training.data import collect, prepare
from senoscope.training.loop import _start, train
from senoscope.training.optim import Average, clip_gradients, learning_rate
from senoscope.training.recipe import make_recipe, write_recipe

_PROGRAM = """
import sys
from pathlib import Path
from senoscope.training.loop import train
from senoscope.training.recipe import read_recipe
train(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]), resume=sys.argv[3] == "resume", progress=False)
"""


def _launch(recipe: Path, out: Path, word: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", _PROGRAM, str(recipe), str(out), word], env=environment)


@pytest.mark.slow
def test_kill_9_and_resume_give_the_same_bits(tmp_path: Path, small: dict[str, Any]) -> None:
    recipe = tmp_path / "recipe.yaml"
    write_recipe(make_recipe(small), recipe)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert _launch(recipe, whole, "start").wait(300) == 0
    process = _launch(recipe, cut, "start")
    deadline = time.monotonic() + 300
    while not (cut / runs.METRICS).is_file() and time.monotonic() < deadline:  # the first epoch is done
        time.sleep(0.01)
    time.sleep(0.15)  # somewhere in the second
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert not (cut / runs.WEIGHTS).is_file()
    assert _launch(recipe, cut, "resume").wait(300) == 0
    for name in (runs.WEIGHTS, runs.STATE):
        first, second = load_file(whole / name), load_file(cut / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    rows = [
        [json.loads(line) for line in (run / runs.METRICS).read_text().splitlines()] for run in (whole, cut)
    ]
    assert len(rows[0]) == len(rows[1]) == 3
    for one, other in zip(*rows, strict=True):
        assert {k: v for k, v in one.items() if "second" not in k} == {
            k: v for k, v in other.items() if "second" not in k
        }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: dict[str, Any]) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(make_recipe({**small, "epochs": 2}), out, progress=False)


def test_moments_come_back_as_their_weights_lie_in_memory(tmp_path: Path, small: dict[str, Any]) -> None:
    # A fused step walks weight, gradient and moments by address: in another order they would belong to others.
    run = train(make_recipe({**small, "epochs": 1, "keep": "last"}), tmp_path / "run", progress=False)
    recipe = make_recipe({**small, "epochs": 2, "keep": "last"})
    parts = collect(recipe)
    arrays = prepare(parts.train, recipe.preprocess)
    trainer = _start(recipe, build_system(recipe), Fabric(devices=1, precision=recipe.precision), arrays)
    load_state(
        run / runs.STATE,
        trainer.model.module,
        trainer.average,
        trainer.best,
        trainer.optimizer,
        trainer.balancer,
    )
    wide = [w for w in trainer.optimizer.state if w.ndim == 4 and min(w.shape[1:]) > 1]
    assert wide
    for weight in wide:
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert trainer.optimizer.state[weight]["exp_avg"].stride() == weight.stride()
    assert trainer.optimizer.defaults["fused"]


def test_a_run_holds_what_is_promised(finished: Path) -> None:
    for name in (runs.RECIPE, runs.CASES, runs.MANIFEST, runs.METRICS, runs.CURVES, runs.STATE, runs.WEIGHTS):
        assert (finished / name).stat().st_size > 0
    manifest = json.loads((finished / runs.MANIFEST).read_text())
    assert manifest["cases"] == {"train": 18, "valid": 6, "test": 0, "phantoms": 0}
    assert len(manifest["data_hash"]) == 64
    assert (
        manifest["versions"]["torch"] == torch.__version__.partition("+")[0] or manifest["versions"]["torch"]
    )
    rows = [json.loads(line) for line in (finished / runs.METRICS).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(row["loss"] == pytest.approx(row["class_loss"] + row["mask_loss"], rel=1e-5) for row in rows)
    assert all(0 <= row["dice"] <= 1 and 0 <= row["auc"] <= 1 for row in rows)


def test_class_weights_are_undone_in_the_weights_that_are_kept(tmp_path: Path, small: dict[str, Any]) -> None:
    from senoscope.training.data import collect, prepare
    from senoscope.training.losses import class_weights

    recipe = make_recipe({**small, "epochs": 1, "balance": 1.0, "phantoms": 3})
    out = train(recipe, tmp_path / "run", progress=False)
    kept, state = load_file(out / runs.WEIGHTS), load_file(out / runs.STATE)
    labels = prepare(collect(recipe).train, recipe.preprocess, phantoms=3).labels
    found = state["best.evidence.2.bias"] - kept["evidence.2.bias"]
    torch.testing.assert_close(found, class_weights(labels, 3, 1.0).log())


def test_a_folder_with_a_run_is_not_overwritten(finished: Path, small: dict[str, Any]) -> None:
    recipe = make_recipe({**small, "epochs": 2})
    with pytest.raises(UsageError, match="--resume"):
        train(recipe, finished, progress=False)
    with pytest.raises(UsageError, match="not the recipe"):
        train(recipe.model_copy(update={"lr": 0.5}), finished, resume=True, progress=False)


def test_a_run_goes_on_with_other_threads_and_says_so(
    finished: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    import shutil

    copy, recipe = tmp_path / "copy", make_recipe({**small, "epochs": 2})
    shutil.copytree(finished, copy)
    first = json.loads((copy / runs.MANIFEST).read_text())["threads"]
    assert first == [recipe.threads or torch.get_num_threads()]
    other = recipe.model_copy(update={"threads": first[0] + 1})
    for _ in range(2):  # the second time it is listed already
        train(other, copy, resume=True, progress=False)
        assert json.loads((copy / runs.MANIFEST).read_text())["threads"] == [*first, first[0] + 1]


def test_row_54_a_damaged_state_is_refused(finished: Path, small: dict[str, Any], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    state = copy / runs.STATE
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="cannot be read"):
        train(make_recipe({**small, "epochs": 2}), copy, resume=True, progress=False)


def test_training_goes_on_from_given_weights(finished: Path, small: dict[str, Any], tmp_path: Path) -> None:
    weights = finished / runs.WEIGHTS
    content = {**small, "epochs": 1, "lr": 1e-9, "ema": 0.0, "init_weights": str(weights)}
    out = train(make_recipe(content), tmp_path / "on", progress=False)
    before, after = load_file(weights), load_file(out / runs.WEIGHTS)
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in before if k.endswith("weight"))
    foreign = tmp_path / "foreign.safetensors"
    save_file({"fc": torch.zeros(1)}, foreign)
    with pytest.raises(WeightsError, match="do not fit"):
        train(make_recipe({**content, "init_weights": str(foreign)}), tmp_path / "no", progress=False)
    assert not (tmp_path / "no").exists()


def test_two_processes_do_not_share_a_run(tmp_path: Path, small: dict[str, Any]) -> None:
    with runs.locked(tmp_path), pytest.raises(UsageError, match="another process"):
        train(make_recipe(small), tmp_path, progress=False)


def test_the_learning_rate_warms_up_and_ends_at_zero(small: dict[str, Any]) -> None:
    recipe = make_recipe({**small, "epochs": 10, "lr": 0.01})
    rates = [learning_rate(recipe, step, 4) for step in range(40)]
    assert rates[0] == pytest.approx(0.01 / 5)
    assert max(rates) == rates[4] == pytest.approx(0.01)
    assert rates[22] == pytest.approx(0.005)  # half-way through the cosine: step 4 + 36/2
    assert 0 < rates[-1] < 1e-4


def _running() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    model = torch.nn.BatchNorm1d(2)
    return model, {k: v.clone() for k, v in model.state_dict().items()}


def test_the_average_by_hand() -> None:
    model, kept = _running()
    average = Average(kept, model.state_dict(), every=1)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.num_batches_tracked.fill_(7)
    average.step(0.75)
    assert kept["weight"].tolist() == [1.5, 1.5]
    assert kept["num_batches_tracked"] == 7


def test_visited_seldom_the_average_forgets_as_much() -> None:
    model, kept = _running()
    average = Average(kept, model.state_dict(), every=3)
    with torch.no_grad():
        model.weight.fill_(3.0)
    average.step(0.5)
    average.step(0.8)
    assert kept["weight"].tolist() == [1.0, 1.0]  # not visited yet
    average.step(0.9)
    assert kept["weight"][0] == pytest.approx(0.36 + 0.64 * 3)  # 0.5 · 0.8 · 0.9 of what it was
    average.step(0.5)
    average.finish()
    assert kept["weight"][0] == pytest.approx(0.5 * (0.36 + 0.64 * 3) + 0.5 * 3)
    average.finish()  # nothing waits: nothing changes
    assert kept["weight"][0] == pytest.approx(0.5 * (0.36 + 0.64 * 3) + 0.5 * 3)


def test_gradients_are_clipped_by_their_common_norm() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    weights[0].grad, weights[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    clip_gradients(weights, 5.0)
    assert weights[0].grad.tolist() == [3.0, 0.0]  # their norm is 5
    clip_gradients(weights, 2.5)
    assert weights[0].grad.tolist() == pytest.approx([1.5, 0.0])
    assert weights[1].grad.tolist() == pytest.approx([0.0, 2.0])

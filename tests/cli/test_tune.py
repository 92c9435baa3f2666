"""``senoscope tune``: from a recipe and ranges to a recipe that ``senoscope train`` takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the [train] extra")

from senoscope.cli.main import main
from senoscope.data.phantoms import write_dataset
from senoscope.training import loop
from senoscope.training.recipe import read_recipe, write_recipe

RECIPE = """
name: tiny
data: [{{name: phantoms, root: "{root}"}}]
valid_fraction: 0.3
preprocess: {{size: 64}}
train_size: 64
epochs: 1
precision: 32-true
threads: 1
"""


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    write_dataset(folder / "data", 24, seed=3, size=96)
    path = folder / "tiny.yaml"
    path.write_text(RECIPE.format(root=folder / "data"), encoding="utf-8")
    return path


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(recipe: Any, out: Path, *, on_epoch: Callable[[dict[str, float]], None], **_: Any) -> Path:
        out.mkdir(parents=True)
        write_recipe(recipe, out / "recipe.yaml")
        row = {"epoch": 1.0, "score": 1 - recipe.lr - 0.001 * recipe.batch}
        (out / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        on_epoch(row)
        return out

    monkeypatch.setattr(loop, "train", train)


@pytest.mark.usefixtures("fast")
def test_tune_prints_a_table_and_goes_on(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tune", str(recipe), "--search", "lr=1e-5..1e-2:log", "--search", "batch=4,8,16"]
    assert run(*words, "--out", str(tmp_path / "s"), "--trials", "5", "--set", "weight_decay=0.5") == 0
    shown = capsys.readouterr().out
    assert shown.count("\nTrial ") + shown.startswith("Trial ") == 5
    assert "5 finished" in shown
    assert f"next: senoscope train {tmp_path / 's' / 'best.yaml'}" in shown
    best = read_recipe(tmp_path / "s" / "best.yaml")
    assert best.weight_decay == 0.5
    assert best.name == "tiny-tuned"
    again = [*words, "--out", str(tmp_path / "s"), "--trials", "6", "--set", "weight_decay=0.5", "--json"]
    assert run(*again) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == {"finished": 6, "pruned": found["trials"]["pruned"], "failed": 0}
    values = found["best"]["params"]
    assert found["best"]["score"] == pytest.approx(1 - values["lr"] - 0.001 * values["batch"])
    assert found["top"][0] == found["best"]
    assert run(*words, "--out", str(tmp_path / "s")) == 2
    assert "another weight_decay" in capsys.readouterr().err


def test_tune_says_what_is_wrong(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", str(tmp_path / "x"))
    for words, message in (
        (("tune", str(recipe)), "nothing to search"),
        (("tune", str(recipe), "--search", "lrr=1..2"), "did you mean 'lr'?"),
        (("tune", str(recipe), "--search", "lr=1e-3..1e-4"), "lower end first"),
        (("tune", str(recipe), "--search", "lr=0.1..0.2", "--sampler", "wolf"), "grey-wolf"),
        (("tune", str(recipe), "--search", "lr=0.1..0.2", "--fold", "1"), "no split"),
        (("tune", "senoscope-su", "--search", "lr=0.1..0.2"), "senoscope-us"),
        (("tune", str(recipe), "--search", "lr=0.1..0.2", "--trials", "0"), "than or equal to 1"),
    ):
        assert run(*words, *out) == 2, words
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_tune_trains(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "tune",
        str(recipe),
        "--search",
        "lr=1e-4..1e-3:log",
        "--trials",
        "1",
        "--out",
        str(tmp_path),
        "--json",
    ]
    assert run(*words) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    rows = [json.loads(row) for row in (Path(best["run"]) / "metrics.jsonl").read_text().splitlines()]
    assert best["score"] == rows[0]["score"]
    assert read_recipe(Path(best["run"]) / "recipe.yaml").lr == best["params"]["lr"]

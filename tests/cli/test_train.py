"""``senoscope train``, ``export`` and ``models``: from a recipe on disk to a bundle that analyses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from senoscope.cli.main import main
from senoscope.data.phantoms import write_dataset

pytest.importorskip("torch", reason="needs the [train] extra")

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
    write_dataset(folder / "data", 72, seed=3, size=96)
    path = folder / "tiny.yaml"
    path.write_text(RECIPE.format(root=folder / "data"), encoding="utf-8")
    return path


def test_recipe_to_run_to_bundle_to_findings(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, bundle, found = tmp_path / "run", tmp_path / "bundle", tmp_path / "found"
    assert run("train", str(recipe), "--out", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out)["kept"]["epoch"] == 1
    assert run("train", str(recipe), "--out", str(out)) == 2
    assert "--resume" in capsys.readouterr().err
    assert run("train", str(recipe), "--out", str(out), "--resume") == 0
    assert "Kept: epoch 1 of 1, the best on validation images" in capsys.readouterr().out
    assert run("export", str(out), "--out", str(bundle), "--name", "mine") == 0
    assert "mine 0.1.0" in capsys.readouterr().out
    assert run("export", str(tmp_path / "nothing"), "--json") == 2
    assert "is not a run" in capsys.readouterr().err
    image = next((recipe.parent / "data" / "images").iterdir())
    assert run("analyze", str(image), "--bundle", str(bundle), "--out", str(found)) == 0
    assert (found / "report.html").is_file()


def test_an_interrupted_training_says_how_to_go_on(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("senoscope.training.loop.train", interrupted)
    assert run("train", str(recipe), "--out", str(tmp_path / "run")) == 130
    assert f"--resume goes on with {tmp_path / 'run'}" in capsys.readouterr().err


def test_train_says_what_is_wrong(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train") == 2
    assert "no recipe is named" in capsys.readouterr().err
    assert run("train", "senoscope-su") == 2
    assert "senoscope-us" in capsys.readouterr().err
    typo = tmp_path / "typo.yaml"
    typo.write_text(recipe.read_text() + "epoch: 3\n")
    assert run("train", str(typo), "--out", str(tmp_path / "x")) == 1
    assert "'epochs'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert run("train", str(recipe), "--fold", "2", "--out", str(tmp_path / "x")) == 2
    assert "no split" in capsys.readouterr().err


def test_shipped_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--list") == 0
    assert capsys.readouterr().out.startswith("bus-bra")


def test_models_are_listed_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "list", "--json") == 0
    assert "senoscope-us" in [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert run("models", "list") == 0
    assert "2.32 M" in capsys.readouterr().out
    assert run("models", "info", "senoscope-us") == 0
    assert "# senoscope-us" in capsys.readouterr().out
    assert run("models", "info", "senoscope-su") == 2
    assert "senoscope-us" in capsys.readouterr().err

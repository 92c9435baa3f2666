"""``senoscope benchmark robustness``: what is printed and written, lists in one option, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from senoscope.cli.benchmark import robustness
from senoscope.errors import UsageError

pytest.importorskip("pyarrow", reason="needs the [train] extra")
pytest.importorskip("matplotlib", reason="needs the [train] extra")


@pytest.fixture(scope="module")
def exams(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("exams")
    for number, (label, depth) in enumerate([("benign", 0.3), ("malignant", 0.02), ("malignant", 0.05)]):
        (root / label).mkdir(exist_ok=True)
        image = fake.draw_exam((120, 140, 40, depth), size=(240, 300), seed=number)
        Image.fromarray((255 * image).astype(np.uint8)).save(root / label / f"{number}.png")
    return root


def run(*words: object) -> Result:
    app = typer.Typer()
    app.command()(robustness.command)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_table_and_the_folder(
    fake_folder: Path, exams: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = (
        fake_folder,
        "--data",
        "folder",
        "--root",
        exams,
        "--corruptions",
        "flip, gain",
        "--severities",
        "1,5",
    )
    result = run(*words)
    assert result.exit_code == 0, result.output
    for label in ("clean", "flip 1", "gain 1", "gain 5"):
        assert label in result.output
    assert "gain 3" not in result.output
    assert "research use only" in result.output
    folder = tmp_path / "robustness-fake-us-folder"
    assert {path.stem for path in (folder / "tables").iterdir()} == {"clean", "flip-1", "gain-1", "gain-5"}
    printed = json.loads(run(*words, "--json").stdout)
    assert printed == json.loads((folder / "robustness.json").read_text())


def test_an_image_without_an_answer_ends_in_1(fake_folder: Path, exams: Path, tmp_path: Path) -> None:
    (exams / "benign" / "bad.png").write_bytes(b"not an image")
    try:
        words = ("--data", "folder", "--root", exams, "--corruptions", "flip", "--out", tmp_path)
        result = run(fake_folder, *words)
    finally:
        (exams / "benign" / "bad.png").unlink()
    assert result.exit_code == 1
    assert "failed: clean benign/bad.png" in result.output.replace("\n", " ")


@pytest.mark.parametrize("severities", ["often", "7", ""])
def test_wrong_severities(fake_folder: Path, exams: Path, tmp_path: Path, severities: str) -> None:
    result = run(
        fake_folder, "--data", "folder", "--root", exams, "--severities", severities, "--out", tmp_path
    )
    assert isinstance(result.exception, UsageError)
    assert "severities" in str(result.exception)
    assert list(tmp_path.iterdir()) == []

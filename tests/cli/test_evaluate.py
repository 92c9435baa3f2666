"""``senoscope evaluate``: tables, several tables, runs' folders, bundles; exit codes and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from senoscope.cli.main import main
from senoscope.evaluation.cases import case_row, write_table
from senoscope.schema import Record

pytest.importorskip("pyarrow", reason="needs the [train] extra")
pytest.importorskip("matplotlib", reason="needs the [train] extra")

HEADER = "id,label,p_normal,p_benign,p_malignant\n"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *words])
    return int(end.value.code or 0)


def make_table(path: Path, fold: int, count: int = 12) -> Path:
    rng = np.random.default_rng(fold)
    rows = []
    for number in range(count):
        label = ("benign", "malignant")[number % 2]
        record = Record(id=f"{fold}-{number}", dataset="made", image=Path("x"), modality="US", label=label)
        rows.append(case_row(record, None, None, [0, 1 - number % 2, rng.random()], fold=fold))
    write_table(rows, path, {"split": "made", "split_hash": "0" * 64, "system": "toy"})
    return path


def test_a_csv_of_another_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(HEADER + "a,benign,0,0.9,0.1\nb,malignant,0,0.2,0.8\nc,malignant,0,0.7,0.3\n")
    assert run(str(path)) == 0
    out = capsys.readouterr().out
    assert "0.667" in out
    assert "No split file is named" in out
    summary = json.loads((tmp_path / "theirs-evaluation" / "summary.json").read_text())
    assert summary["figures"]["auc_benign_malignant"]["value"] == 1.0
    assert "<html" in (tmp_path / "theirs-evaluation" / "report.html").read_text()


def test_several_tables_are_pooled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(make_table(tmp_path / f"fold{fold}" / "predictions.parquet", fold)) for fold in range(2)]
    assert run(*paths, "--json", "--out", str(tmp_path / "out")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["cases"]["test"] == 24
    assert printed["cases"]["folds"] == [0, 1]
    assert printed == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_a_folder_that_holds_a_table(tmp_path: Path) -> None:
    make_table(tmp_path / "run" / "predictions.parquet", 0)
    assert run(str(tmp_path / "run")) == 0
    assert (tmp_path / "run" / "evaluation" / "report.html").is_file()


@pytest.mark.parametrize(
    ("text", "said"),
    [(HEADER + "a,benign,0.5,0.9,0.1\n", "sum to 1.5"), (HEADER, "no rows"), ("id\na\n", "no column label")],
)
def test_bad_tables_fail_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert run(str(tmp_path / "t.csv")) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_what_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "absent")) == 1
    assert "there is no bundle" in capsys.readouterr().err
    (tmp_path / "x.txt").write_text("x")
    assert run(str(tmp_path / "x.txt")) == 2
    assert run() == 2


def make_folder(fake: ModuleType, root: Path) -> Path:
    """A dataset in the plain folder layout, with one file that is no image."""
    for number, (label, depth) in enumerate([("benign", 0.3), ("malignant", 0.02), ("malignant", 0.05)]):
        (root / label).mkdir(parents=True, exist_ok=True)
        image = fake.draw_exam((120, 140, 40, depth), size=(240, 300), seed=number)
        Image.fromarray((255 * image).astype(np.uint8)).save(root / label / f"{number}.png")
    (root / "benign" / "broken.png").write_bytes(b"not an image")
    return root


def test_a_bundle_on_a_dataset(
    fake: ModuleType, fake_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(fake_folder)) == 2
    assert "--data" in capsys.readouterr().err
    root, out = make_folder(fake, tmp_path / "mine"), tmp_path / "out"
    words: list[Any] = [fake_folder, "--data", "folder", "--root", root, "--out", out]
    assert run(*map(str, words)) == 1  # the good ones done, the bad one listed
    said = capsys.readouterr()
    assert "broken.png" in said.err
    assert "1 of 4 cases could not be analysed" in " ".join(said.out.split())
    assert sorted(path.name for path in out.iterdir()) == [
        "masks",
        "predictions.parquet",
        "report.html",
        "summary.json",
    ]
    assert json.loads((out / "summary.json").read_text())["cases"]["test"] == 3
    assert "data:image/jpeg" in (out / "report.html").read_text()


def test_a_run_is_predicted_first_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def predict_run(run: Path, *, data: str | None, root: Path | None, progress: bool) -> Path:
        asked.append(data)
        return make_table(run / (f"predictions-{data}.parquet" if data else "predictions.parquet"), 0)

    monkeypatch.setattr("senoscope.evaluation.evaluate.predict_run", predict_run)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    assert run_quietly(folder) == run_quietly(folder) == 0
    assert asked == [None]
    root = tmp_path / "mine"
    (root / "benign").mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(root / "benign" / "a.png")
    assert run_quietly(folder, "--data", "folder", "--root", str(root)) == 0
    assert asked == [None, "folder"]
    assert (folder / "predictions-folder-evaluation" / "report.html").is_file()


def run_quietly(folder: Path, *words: str) -> int:
    return run(str(folder), "--json", *words)

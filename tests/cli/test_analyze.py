"""``analyze`` and ``demo`` as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from senoscope.cli.main import main


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return int(caught.value.code or 0)


@pytest.fixture
def exams(fake: ModuleType, tmp_path: Path) -> Path:
    folder = tmp_path / "exams"
    folder.mkdir()
    for name, lesion in (("one", (120, 130, 40, 0.02)), ("two", (90, 100, 30, 0.02))):
        Image.fromarray((fake.draw_exam(lesion) * 255).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def test_analyze_writes_results_and_says_where(
    exams: Path, fake_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("analyze", exams, "--out", out, "--bundle", fake_folder) == 0
    assert {"report.html", "findings.json", "masks"} <= {path.name for path in out.iterdir()}
    shown = capsys.readouterr().out
    assert "2 images: 2 analysed" in shown
    assert "report.html" in shown
    assert run("analyze", exams, "--out", out, "--bundle", fake_folder) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run("analyze", exams, "--out", out, "--bundle", fake_folder, "--overwrite") == 0


def test_a_bad_file_gives_exit_code_1_and_is_named(
    exams: Path, fake_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exams / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run("analyze", exams, exams / "gone.png", "--out", tmp_path / "out", "--bundle", fake_folder) == 1
    captured = capsys.readouterr()
    assert "bad.png" in captured.out
    assert "gone.png" in captured.out
    assert "2 analysed" in captured.out
    assert "Traceback" not in captured.out + captured.err
    assert len(json.loads((tmp_path / "out" / "findings.json").read_text())["items"]) == 4


def test_json_gives_one_event_per_image(
    exams: Path, fake_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("analyze", exams, "--out", tmp_path / "out", "--bundle", fake_folder, "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(event["source"]).name for event in events] == ["one.png", "two.png"]
    assert events[0]["findings"][0]["score"] > 0.5
    assert "contour" not in events[0]["findings"][0]


@pytest.mark.parametrize(
    "words", [["analyze"], ["analyze", "x.png", "--threads", "0"], ["demo", "--count", "-5"]]
)
def test_misuse_is_exit_code_2(words: list[str]) -> None:
    assert run(*words) == 2


def test_an_absent_bundle_is_told_in_one_line(
    exams: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("analyze", exams, "--out", tmp_path / "out", "--bundle", "nothing") == 1
    assert "there is no bundle 'nothing'" in capsys.readouterr().err
    assert not (tmp_path / "out" / "findings.json").exists()


def test_demo_prints_a_table(fake_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--out", tmp_path / "demo", "--count", 3, "--bundle", fake_folder) == 0
    shown = capsys.readouterr().out
    assert "simulated" in shown
    assert "exam-03" in shown
    assert (tmp_path / "demo" / "report.html").exists()
    assert (tmp_path / "demo" / "findings.json").exists()

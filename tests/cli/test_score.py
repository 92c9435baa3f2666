"""``senoscope score``: what is printed, exit codes, and that nothing is written when a row is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from senoscope.benchmark.protocol import load_protocol
from senoscope.cli.main import main
from senoscope.data import fake

pytest.importorskip("pyarrow", reason="needs the [train] extra")
pytest.importorskip("matplotlib", reason="needs the [train] extra")


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["score", *words])
    return int(end.value.code or 0)


def test_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fake.make("busi", tmp_path / "data", 18)
    tested = [r for part in load_protocol("grouped-5fold").cases("busi", root).test.values() for r in part]
    path = tmp_path / "theirs.csv"
    lines = [f"{record.id},0.2,0.5,0.3" for record in tested]
    path.write_text("\n".join(["id,p_normal,p_benign,p_malignant", *lines]))
    words = [str(path), "--data", "busi", "--root", str(root), "--out", str(tmp_path / "out")]
    assert run(*words) == 0
    printed = capsys.readouterr().out
    assert "Accuracy, three classes" in printed
    assert "medical device" in printed
    assert run(*words, "--json") == 0
    benign = sum(record.label == "benign" for record in tested)
    summary = json.loads(capsys.readouterr().out)
    assert summary["figures"]["accuracy"]["value"] == pytest.approx(benign / len(tested))
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())

    path.write_text("\n".join(["id,p_normal,p_benign,p_malignant", *lines[1:], "who,1,1,1"]))
    assert run(*words[:-1], str(tmp_path / "none")) == 1
    error = capsys.readouterr().err
    assert "  - id that the dataset does not have: row" in error
    assert "  - probabilities do not sum to 1: row" in error
    assert f"  - 1 of {len(tested)} tested cases missing" in error
    assert not (tmp_path / "none").exists()
    assert run(str(path), "--data", "busi", "--root", str(root), "--protocol", "grouped") == 2
    assert run(str(path)) == 2

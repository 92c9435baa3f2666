"""``senoscope compare``: what is printed and written, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from senoscope.cli.main import main
from senoscope.evaluation.cases import case_row, write_table
from senoscope.schema import Record

pytest.importorskip("pyarrow", reason="needs the [train] extra")
pytest.importorskip("matplotlib", reason="needs the [train] extra")


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["compare", *words])
    return int(end.value.code or 0)


def make_table(path: Path, noise: float, split_hash: str = "0" * 64) -> str:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        label = ("benign", "malignant")[number % 2]
        record = Record(id=f"case {number}", dataset="made", image=Path("x"), modality="US", label=label)
        rows.append(case_row(record, None, None, [0, 0, 2 * (number % 2) - 1 + noise * rng.normal()]))
    write_table(rows, path, {"split": "made", "split_hash": split_hash, "system": path.parent.name})
    return str(path)


def test_two_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = make_table(tmp_path / "good" / "predictions.parquet", 0.1)
    poor = make_table(tmp_path / "poor" / "predictions.parquet", 4.0)
    assert run(good, str(tmp_path / "poor"), "--out", str(tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    assert "first: good" in printed
    assert "medical device" in printed
    assert run(good, poor, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["auc_benign_malignant"]["first"] == 1.0
    assert found["figures"]["auc_benign_malignant"]["p_holm"] < 0.05
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["figures"] == found["figures"]
    assert "<html" in (tmp_path / "out" / "comparison.html").read_text()


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = make_table(tmp_path / "good" / "predictions.parquet", 0.1)
    other = make_table(tmp_path / "other" / "predictions.parquet", 0.1, "1" * 64)
    assert run(good, other) == 1
    assert "different splits" in capsys.readouterr().err
    assert run(good) == 2
    assert run(good, str(tmp_path / "absent")) == 2
    assert "neither a table nor a run" in capsys.readouterr().err

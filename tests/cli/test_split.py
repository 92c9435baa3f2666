"""``senoscope split``: makes a split, checks one, and says what is wrong with exit codes 1 and 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from senoscope.cli.main import main
from senoscope.data import fake


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["split", *words])
    printed = capsys.readouterr()
    return end.value.code or 0, printed.out, printed.err


def test_make_then_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place, out = fake.make("bus-bra", tmp_path, 12), tmp_path / "mine.csv"
    code, printed, _ = run(
        capsys, "bus-bra", "--root", str(place), "--folds", "2", "--out", str(out), "--known-groups", "--json"
    )
    summary = json.loads(printed)
    assert code == 0
    assert [fold["fold"] for fold in summary["folds"]] == [1, 2]
    assert sum(fold["images"] for fold in summary["folds"]) == 12
    code, printed, _ = run(capsys, "--check", str(out), "--data", "bus-bra", "--root", str(place))
    assert code == 0
    assert printed.endswith("mine: no leak\n")


def test_a_leak_is_named_and_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("id;patient;fold\na;7;1\nb;7;2\n", encoding="utf-8")
    code, printed, _ = run(capsys, "--check", str(path))
    assert code == 1
    assert "leak: patient 7 (fold 1: a; fold 2: b)" in printed
    code, printed, _ = run(capsys, "--check", str(path), "--json")
    assert code == 1
    assert json.loads(printed)["leaks"] == [
        {"kind": "patient", "name": "7", "sides": {"fold 1": ["a"], "fold 2": ["b"]}}
    ]


def test_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys)[0] == 2
    code, _, err = run(capsys, "--check", "nowhere.csv")
    assert code == 2
    assert "busi-grouped-5fold" in err
    assert run(capsys, "bussi")[0] == 2

from __future__ import annotations

import json
from pathlib import Path

import pytest

from senoscope.cli.main import main
from senoscope.data import fake


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["datasets", *words])
    printed = capsys.readouterr()
    return end.value.code or 0, printed.out, printed.err


def test_list_as_json_names_every_dataset(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake.make("busi", tmp_path, 3)
    monkeypatch.setenv("SENOSCOPE_DATA", str(tmp_path))
    code, out, _ = run(capsys, "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert {"busi", "bus-bra", "mini-mias", "flowers17", "folder", "table", "phantoms"} == set(rows)
    assert rows["busi"]["doi"] == "10.1016/j.dib.2019.104863"
    assert [name for name, row in rows.items() if row["found"]] == ["busi"]


def test_list_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert "mini-mias" in out


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", "bus-bra")
    assert code == 0
    assert "images by class: benign 1268, malignant 607" in out
    assert "senoscope.data" not in out
    assert json.loads(run(capsys, "info", "busi", "--json")[1])["n"] == 780


def test_a_wrong_name_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "info", "bussi")
    assert (code, out) == (2, "")
    assert "'busi'" in err


def test_verify_fails_on_what_cannot_be_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = fake.make("busi", tmp_path, 6)
    assert run(capsys, "verify", "busi", "--root", str(root))[0] == 0
    (root / "benign" / "benign (1).png").write_bytes(b"")
    code, out, _ = run(capsys, "verify", "busi", "--root", str(root), "--json")
    assert code == 1
    first = json.loads(out)[0]
    assert (first["level"], first["file"]) == ("error", "benign (1).png")
    assert set(first) == {"level", "file", "found", "expected", "fix"}
    code, out, _ = run(capsys, "verify", "busi", "--root", str(root))
    assert code == 1
    assert "busi: 1 to mend, 1 to know" in out


def test_verify_without_a_copy_says_what_to_download(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SENOSCOPE_DATA", str(tmp_path))
    code, _, err = run(capsys, "verify", "busi")
    assert code == 1
    assert "download it from https://scholar.cu.edu.eg" in err


def test_audit_writes_its_table_and_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = fake.make("busi", tmp_path / "copy", 6)
    twin = root / "benign" / "benign (2).png"
    twin.write_bytes((root / "benign" / "benign (1).png").read_bytes())
    out = tmp_path / "audit"
    code, printed, _ = run(capsys, "audit", "busi", "--root", str(root), "--out", str(out), "--json")
    result = json.loads(printed)
    assert code == 0
    assert Path(result["page"]).is_relative_to(out)
    assert Path(result["page"]).is_file()
    twins = [issue["ids"] for issue in result["issues"] if issue["check"] == "duplicates"]
    assert twins == [["busi:benign (1)", "busi:benign (2)"]]

"""``senoscope serve``'s errands: making tokens, checking the audit log, refusing an open network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from senoscope.cli.main import main

pytest.importorskip("fastapi", reason="needs the [clinic] extra")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    return int(ended.value.code or 0)


def test_a_new_token_is_printed_once_and_kept_hashed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data-dir", str(tmp_path), "--new-token", "reader", "--token-name", "kim") == 0
    token = capsys.readouterr().out.strip()
    (entry,) = json.loads((tmp_path / "tokens.json").read_text())
    assert (entry["name"], entry["role"]) == ("kim", "reader")
    assert token.startswith("seno_")
    assert token not in (tmp_path / "tokens.json").read_text()
    assert run("--data-dir", str(tmp_path), "--new-token", "reader", "--token-name", "kim") == 2
    assert "cannot be a token's name" in capsys.readouterr().err


def test_an_altered_audit_log_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from senoscope.clinic.service.audit import IMPORT, AuditLog

    path = tmp_path / "audit.jsonl"
    for subject in ("one", "two"):
        AuditLog(path).write(IMPORT, action="C", subject=subject)
    assert run("--data-dir", str(tmp_path), "--verify-audit") == 0
    assert capsys.readouterr().out.startswith("2 lines, unbroken")
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["n"], last["event"]) == (3, "Audit Log Used")  # looking is on record too
    path.write_text(path.read_text().replace("one", "six"))
    assert run("--data-dir", str(tmp_path), "--verify-audit") == 1
    assert "line 1 of audit.jsonl was altered" in capsys.readouterr().err


def test_a_network_without_tokens_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from senoscope.clinic.service import logs

    monkeypatch.setattr(logs, "configure_logs", lambda _: None)  # it is for a process of its own
    assert run("--data-dir", str(tmp_path), "--host", "192.0.2.1", "--port", "0") == 2
    assert "nobody has a token yet" in capsys.readouterr().err

"""Blobs, tokens, the audit chain, admission, JSON and Accept: each against values worked out by hand."""

from __future__ import annotations

import hashlib
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from senoscope.clinic.service import audit
from senoscope.clinic.service.admission import Gate
from senoscope.clinic.service.blobs import Blobs, DiskFullError
from senoscope.clinic.service.errors import AuditError, BadRequestError, BusyError, NotFoundError
from senoscope.clinic.service.jsonbody import parse
from senoscope.clinic.service.logs import WithoutPatients
from senoscope.clinic.service.negotiate import accepted
from senoscope.clinic.service.settings import Settings
from senoscope.clinic.service.tokens import SESSION_SECONDS, Tokens, new_token
from senoscope.errors import ConfigError, UsageError


def test_blobs_are_named_by_content_and_kept_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    name = blobs.put([b"ab", b"c"])
    assert name == hashlib.sha256(b"abc").hexdigest() == blobs.put([b"abc"])
    assert blobs.read(name) == b"abc"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [name]


def test_a_blob_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFullError):
        Blobs(tmp_path).put(broken())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "0" * 64, "", "A" * 64, "0" * 63 + "/"])
def test_no_other_file_can_be_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError):
        Blobs(tmp_path).path(name)


def test_a_blob_erased_while_it_is_asked_for_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(tmp_path)
    name = blobs.put([b"abc"])
    there = blobs.path(name)
    there.unlink()
    monkeypatch.setattr(blobs, "path", lambda _: there)  # found a moment before
    with pytest.raises(NotFoundError):
        blobs.read(name)


def test_tokens_are_kept_hashed_and_end_when_removed(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens = Tokens(path, b"k" * 32)
    assert not tokens.exist
    name, token = new_token(path, "reader")
    other, second = new_token(path, "admin", "dr.kim")
    assert (name, other) == ("reader-1", "dr.kim")
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    user = tokens.user(token)
    assert user is not None
    assert (user.name, user.role, user.sees) == ("reader-1", "reader", "reader-1")
    admin = tokens.user(second)
    assert admin is not None
    assert admin.sees is None
    cookie = tokens.open_session(user)
    known = tokens.session(cookie)
    assert known is not None
    assert known.name == "reader-1"
    assert len(known.csrf) == 64
    path.write_text(
        json.dumps([entry for entry in json.loads(path.read_text()) if entry["name"] == "dr.kim"])
    )
    assert tokens.user(token) is None
    assert tokens.session(cookie) is None


def test_sessions_cannot_be_made_up_or_outlive_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokens.json"
    new_token(path, "admin", "a")
    ours, theirs = Tokens(path, b"k" * 32), Tokens(path, b"x" * 32)
    user = ours.user(new_token(path, "reader", "r")[1])
    assert user is not None
    cookie = ours.open_session(user)
    for bad in ("", "AAAA", cookie[:-8], cookie[::-1], "é", theirs.open_session(user)):
        assert ours.session(bad) is None
    import time

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SESSION_SECONDS + 5)
    assert ours.session(cookie) is None


@pytest.mark.parametrize(
    ("role", "name"), [("root", None), ("reader", "a|b"), ("reader", "local"), ("reader", "x")]
)
def test_impossible_tokens_are_refused(tmp_path: Path, role: str, name: str | None) -> None:
    new_token(tmp_path / "t.json", "reader", "x")
    with pytest.raises(UsageError):
        new_token(tmp_path / "t.json", role, name)


def test_a_damaged_token_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('[{"name": "a"}]')
    with pytest.raises(ConfigError, match="damaged"):
        Tokens(tmp_path / "t.json", b"k").user("anything")


def test_audit_chain_is_whole_and_every_change_breaks_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = audit.AuditLog(path)
    for number in range(5):
        log.write(audit.IMPORT, action="C", user="a", subject=str(number))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    last = json.loads(lines[-1])
    assert audit.verify(path) == audit.Verified(5, last["hash"])
    claimed = last.pop("hash")  # the hash, by its definition: SHA-256 of the sorted JSON of everything else
    assert claimed == hashlib.sha256(json.dumps(last, sort_keys=True).encode()).hexdigest()
    assert last["previous"] == json.loads(lines[-2])["hash"]
    forgeries = {
        2: whole.replace(b'"subject": "1"', b'"subject": "9"'),
        3: b"".join(lines[:2] + lines[3:]),
        1: b"".join(lines[1:]),
        4: b"".join([*lines[:3], lines[4], lines[3]]),
    }
    for line, forged in forgeries.items():
        path.write_bytes(forged)
        with pytest.raises(AuditError, match=f"line {line} "):
            audit.verify(path)


def test_a_line_torn_by_a_crash_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = audit.AuditLog(path)
    log.write(audit.START, action="E")
    with path.open("ab") as stream:
        stream.write(b'{"n": 2, "ti')
    log.write(audit.STOP, action="E")
    assert audit.verify(path).lines == 2


def test_control_characters_stay_within_their_audit_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit.AuditLog(path).write(audit.ALERT, action="E", user='a\r\n{"n": 2}\u2028')
    assert len(path.read_text().splitlines()) == 1
    assert audit.verify(path).lines == 1


def test_the_gate_counts_what_waits_and_what_is_coming() -> None:
    gate = Gate(limit=3, uploads=2)
    gate.enter()
    gate.enter()
    with pytest.raises(BusyError):
        gate.enter()
    gate.added(2)
    gate.leave()
    gate.leave()
    assert not gate.closed
    gate.enter()
    gate.added(1)
    gate.leave()
    assert gate.closed
    gate.finished()
    assert not gate.closed
    assert gate.refused == 1
    assert 1 <= gate.retry_after <= 60


def test_the_gate_counts_at_the_door_what_no_route_has_seen_yet() -> None:
    gate = Gate(limit=10, uploads=2)
    assert [gate.knock() for _ in range(4)] == [True, True, False, False]
    gate.enter()  # the same upload, in its route
    gate.depart()
    assert gate.knock()
    gate.waiting = 9
    gate.depart()
    assert not gate.knock()  # one at the door already, and nine that wait
    gate.draining = True
    gate.waiting = 0
    assert not gate.knock()
    assert gate.refused == 4


def test_json_that_is_deep_endless_or_not_a_number_is_refused() -> None:
    assert parse(b'{"a": [1, 2.5, "[[[[[[[[[[[[[[[[[[[[\\""]}') == {"a": [1, 2.5, '[[[[[[[[[[[[[[[[[[[["']}
    for bad in (
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"[" * 10_000,
        b"[" * 17 + b"]" * 17,
        b"\xff",
        b"",
    ):
        with pytest.raises(BadRequestError):
            parse(bad)


@pytest.mark.parametrize(
    ("header", "media", "taken"),
    [
        ("", "application/json", True),
        ("*/*", "application/pdf", True),
        ("application/*;q=0.2", "application/json", True),
        ("text/html", "application/json", False),
        ("application/json;q=0, */*", "application/json", False),
        ("text/html, application/json;q=0.9", "application/json", True),
        ("application/json;q=wrong", "application/json", False),
    ],
)
def test_accept_header(header: str, media: str, taken: bool) -> None:
    assert accepted(header, media) is taken


def test_foreign_log_messages_are_withheld_and_lines_stay_lines() -> None:
    def filtered(name: str, message: str, *given: object) -> str:
        record = logging.LogRecord(name, logging.INFO, "file.py", 7, message, given, None)
        assert WithoutPatients().filter(record)
        return record.getMessage()

    assert "KIM" not in filtered("pydicom.valuerep", "invalid value %r", "KIM^A")
    assert filtered("senoscope.clinic.x", "a\r\nERROR forged") == "a  ERROR forged"
    try:
        raise ValueError("KIM^A")
    except ValueError as error:
        record = logging.LogRecord(
            "senoscope.x", 40, "f", 1, "failed", (), (ValueError, error, error.__traceback__)
        )
    WithoutPatients().filter(record)
    text = logging.Formatter().format(record)
    assert "KIM" not in text
    assert "ValueError" in text


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("pacs", False)],
)
def test_what_counts_as_this_machine(tmp_path: Path, host: str, loopback: bool) -> None:
    assert Settings(data_dir=tmp_path, host=host).loopback is loopback

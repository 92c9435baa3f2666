"""HTTP rows 76, 78 and 79 of the table of bad inputs: foreign pages, foreign names, foreign exams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from senoscope.clinic.service.tokens import new_token

Refused = Callable[[Any, int], dict[str, Any]]


def test_76_answers_carry_their_protection(local: Any) -> None:
    answer = local.client.get("/")
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    for path in ("/", "/api/exams", "/nowhere", "/static/main.js"):
        headers = local.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_76_a_script_in_a_name_is_text_everywhere(local: Any, stills: ModuleType) -> None:
    script = "<script>alert(1)</script>"
    pixels = np.random.default_rng(0).integers(20, 200, (128, 128), dtype=np.uint8)
    image = stills.file_bytes(stills.still(pixels, PatientName=script, PatientID=script))
    exam = local.send(image, name=f"{script}.dcm")
    local.work()
    place = f"/api/exams/{exam}"
    for path, media in (
        ("/api/exams", "application/json"),
        (place, "application/json"),
        (f"{place}/report.json", "application/json"),
        (f"{place}/fhir", "application/fhir+json"),
        (f"{place}/report.html", "text/html; charset=utf-8"),
    ):
        answer = local.client.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == media
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert script not in answer.text or media == "application/json"  # there it is data, and no page
    assert "sandbox" in local.client.get(f"{place}/report.html").headers["content-security-policy"]
    assert local.client.get(place).json()["images"][0]["name"] == f"{script}.dcm"


def test_78_foreign_pages_and_names(local: Any, lesion: bytes, refused: Refused) -> None:
    files = {"files": ("a.png", lesion)}
    token = local.client.get("/api/session").json()["csrf"]
    for headers in (
        {"Origin": "https://evil.example", "X-CSRF-Token": token},
        {"Origin": "null", "X-CSRF-Token": token},
        {"Origin": "http://localhost.evil.example", "X-CSRF-Token": token},
        {"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": token},
        {"Origin": "http://localhost"},  # our own page always sends its token
        {"Origin": "http://localhost", "X-CSRF-Token": "0" * 64},
        {"Referer": "https://evil.example/"},
    ):
        refused(local.client.post("/api/exams", files=files, headers=headers), 403)
    refused(local.client.get("/api/exams", headers={"Origin": "https://evil.example"}), 403)
    refused(local.client.get("/", headers={"Host": "evil.example"}), 400)
    assert local.client.get("/api/exams").json()["exams"] == []
    good = {"Origin": "http://localhost", "X-CSRF-Token": token, "Sec-Fetch-Site": "same-origin"}
    assert local.client.post("/api/exams", files=files, headers=good).status_code == 201


def test_78_a_session_needs_its_own_token(
    tokens: dict[str, str], make_local: Callable[..., Any], lesion: bytes, refused: Refused
) -> None:
    local = make_local()
    refused(local.client.post("/api/session", json={"token": "wrong"}), 401)
    made = local.client.post("/api/session", json={"token": tokens["reader"]})
    assert made.json()["user"] == {"name": "reader-1", "role": "reader"}
    cookie = made.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert local.client.get("/api/exams").status_code == 200
    files = {"files": ("a.png", lesion)}
    refused(
        local.client.post("/api/exams", files=files), 403
    )  # the cookie alone is what a foreign page could send
    headers = {"X-CSRF-Token": made.json()["csrf"]}
    assert local.client.post("/api/exams", files=files, headers=headers).status_code == 201
    local.client.delete("/api/session")
    refused(local.client.get("/api/exams"), 401)


def test_79_another_users_exam_is_not_there(
    tokens: dict[str, str], make_local: Callable[..., Any], lesion: bytes, tmp_path: Path, refused: Refused
) -> None:
    local = make_local()
    other = new_token(tmp_path / "data" / "tokens.json", "reader")[1]
    mine, theirs = ({"Authorization": f"Bearer {token}"} for token in (tokens["reader"], other))
    exam = local.client.post("/api/exams", files={"files": ("a.png", lesion)}, headers=mine).json()["id"]
    local.work()
    place = f"/api/exams/{exam}"
    absent = refused(local.client.get(f"/api/exams/{'0' * 32}", headers=theirs), 404)
    assert refused(local.client.get(place, headers=theirs), 404) == absent  # no telling apart
    for path in ("report.json", "report.pdf", "fhir", "images/1/heatmap.png", "images/1/findings/1"):
        refused(local.client.get(f"{place}/{path}", headers=theirs), 404)
    review = {"action": "reject", "version": 1}
    refused(local.client.put(f"{place}/images/1/findings/1", json=review, headers=theirs), 404)
    assert local.client.get(place, headers=mine).status_code == 200


def test_servers_on_a_network_need_tokens(make_local: Callable[..., Any]) -> None:
    with pytest.raises(Exception, match="nobody has a token"):
        make_local(host="192.0.2.1")

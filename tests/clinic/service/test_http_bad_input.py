"""HTTP rows 62 to 75 of the table of bad inputs: each refused with its status, and nothing kept."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from senoscope.clinic.service.database import reading
from senoscope.clinic.service.tables import EXAMS


def kept(local: Any) -> int:
    with reading(local.service.store.engine) as connection:
        return int(connection.execute(select(func.count()).select_from(EXAMS)).scalar_one())


Refused = Callable[[Any, int], dict[str, Any]]


def test_62_no_token_wrong_token_wrong_role(
    tokens: dict[str, str], make_local: Callable[..., Any], refused: Refused
) -> None:
    local = make_local()
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
        answer = local.client.get("/api/exams", headers=headers)
        refused(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    reader = {"Authorization": f"Bearer {tokens['reader']}"}
    refused(local.client.post("/api/queue/replay", headers=reader), 403)
    refused(local.client.get("/metrics"), 401)
    admin = {"Authorization": f"Bearer {tokens['admin']}"}
    assert local.client.get("/metrics", headers=admin).status_code == 200


def test_63_bodies_over_the_limit_stop_while_streaming(
    make_local: Callable[..., Any], lesion: bytes, refused: Refused
) -> None:
    local = make_local(max_body=10_000)
    sent = 0

    def endless() -> Any:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        for _ in range(1000):
            sent += 1
            yield b"\x89PNG" + b"0" * 4092

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(local.client.post("/api/exams", files={"files": ("a.png", lesion)}), 413)
    refused(local.client.post("/api/exams", content=endless(), headers=kind), 413)
    refused(
        local.client.post("/api/exams", content=b"a", headers={**kind, "Content-Length": "99999999"}), 413
    )
    refused(local.client.post("/api/exams", content=b"a", headers={**kind, "Content-Length": "-5"}), 400)
    assert kept(local) == 0
    big = json.dumps({"token": "a" * 2_000_000})
    refused(local.client.post("/api/session", content=big, headers={"Content-Type": "application/json"}), 413)


def test_64_packed_bodies_are_not_unpacked(local: Any, lesion: bytes, refused: Refused) -> None:
    packed = gzip.compress(bytes(1_000_000))
    headers = {"Content-Encoding": "gzip", "Content-Type": "multipart/form-data; boundary=x"}
    refused(local.client.post("/api/exams", content=packed, headers=headers), 415)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("a.png", b"<html><script>alert(1)</script></html>"),
        ("a.gif", b"GIF89a" + bytes(100)),
        ("a.pdf", b"%PDF-1.7 " + bytes(100)),
        ("a.dcm", b"#!/bin/sh\n" + bytes(118) + b"DICM" + bytes(100)),
        ("a.zip", b"PK\x03\x04" + bytes(100)),
    ],
)
def test_65_other_kinds_of_file(local: Any, name: str, data: bytes, refused: Refused) -> None:
    refused(local.client.post("/api/exams", files={"files": (name, data)}), 415)
    assert kept(local) == 0


def test_65_other_kinds_of_body(local: Any, lesion: bytes, refused: Refused) -> None:
    refused(local.client.post("/api/exams", content=lesion, headers={"Content-Type": "image/png"}), 415)
    refused(local.client.post("/api/exams", content=b"{}", headers={"Content-Type": "application/json"}), 415)
    put = local.client.put(f"/api/exams/{'0' * 32}/images/1/findings/1", content="action=accept")
    refused(put, 415)


def test_66_empty_uploads(local: Any, lesion: bytes, refused: Refused) -> None:
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(local.client.post("/api/exams", files={"files": ("a.png", b"")}), 400)
    refused(local.client.post("/api/exams", files=[("files", ("a", lesion)), ("files", ("b", b""))]), 400)
    refused(local.client.post("/api/exams", content=b"--x--\r\n", headers=multipart), 400)
    refused(local.client.post("/api/exams", content=b"", headers=multipart), 400)
    refused(local.client.post("/api/exams", content=b"nonsense", headers=multipart), 400)
    refused(local.client.post("/api/exams", files=[("files", ("a", lesion))] * 33), 400)
    assert kept(local) == 0


@pytest.mark.parametrize(
    "query", ["limit=-5", "limit=0", "limit=1e3", "limit=201", "before=NaN", "before=1e999"]
)
def test_69_parameters_out_of_range(local: Any, query: str, refused: Refused) -> None:
    refused(local.client.get(f"/api/exams?{query}"), 400)


def test_70_unsupported_accept(local: Any, refused: Refused) -> None:
    refused(local.client.get("/api/exams", headers={"Accept": "image/webp"}), 406)
    refused(local.client.get(f"/api/exams/{'0' * 32}/report.pdf", headers={"Accept": "text/html"}), 406)


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/..%5c..%5capp.py",
        "/api/exams/..%2f..%2fsecret",
        "/api/exams/" + "0" * 31,
        f"/api/exams/{'0' * 32}/images/1/..%2fpicture.png",
        f"/api/exams/{'0' * 32}/images/-1/picture.png",
        f"/api/exams/{'0' * 32}/images/99999999999999999999/picture.png",
        "/static/vendor",
        "/etc/passwd",
    ],
)
def test_71_paths_that_climb_or_lead_nowhere(local: Any, path: str, refused: Refused) -> None:
    refused(local.client.get(path), 404)


def test_72_nothing_is_fetched_for_a_client(local: Any, lesion: bytes, refused: Refused) -> None:
    for address in ("http://127.0.0.1/", "http://169.254.169.254/latest", "file:///etc/passwd"):
        refused(local.client.post("/api/exams", files={"url": (None, address)}), 400)
        both = {"files": ("a.png", lesion), "url": (None, address)}
        refused(local.client.post("/api/exams", files=both), 400)
    assert kept(local) == 0


def test_74_a_full_queue_says_when_to_come_back(
    make_local: Callable[..., Any], draw: Callable[[int], bytes], refused: Refused
) -> None:
    local = make_local(queue_limit=2)
    first = local.send(draw(0), draw(1))
    answer = local.client.post("/api/exams", files={"files": ("a.png", draw(2))})
    refused(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert local.client.get(f"/api/exams/{first}").status_code == 200  # looking is never refused
    local.work()
    assert local.client.post("/api/exams", files={"files": ("a.png", draw(2))}).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b'{"action": "accept", "version": NaN}',
        b'{"action": "accept", "version": 1e999}',
        b'{"action": "edit", "version": 1, "contour": [[1, 1e999], [5, 5], [9, 1]]}',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"action": ' * 10_000,
        b"\xff\xfe",
        b"",
        b'"accept"',
        b"{'action': 'accept'}",
    ],
)
def test_75_json_that_is_none(local: Any, lesion: bytes, body: bytes, refused: Refused) -> None:
    exam = local.send(lesion)
    local.work()
    path = f"/api/exams/{exam}/images/1/findings/1"
    refused(local.client.put(path, content=body, headers={"Content-Type": "application/json"}), 400)
    assert len(local.client.get(path).json()["versions"]) == 1

"""STOW-RS and QIDO-RS against a small server that misbehaves; the real ones are in tests/clinic/real."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydicom import Dataset

from senoscope.clinic.gateway.config import Destination
from senoscope.clinic.gateway.dicomweb import authorization
from senoscope.clinic.gateway.jobs import DeliveryError
from senoscope.clinic.gateway.poll import _pages
from senoscope.clinic.gateway.send import _stow
from senoscope.errors import ConfigError


@pytest.fixture
def server():
    """Answers every POST with ``status`` and ``answer``; ``bodies`` are what came."""

    class Handler(BaseHTTPRequestHandler):
        status, answer, bodies, headers_seen = 200, Dataset(), [], []

        def do_POST(self) -> None:
            self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.headers_seen.append(self.headers.get("Authorization"))
            body = json.dumps(self.answer.to_json_dict()).encode()
            self.send_response(self.status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield httpd, Handler
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def results(parts, pixels, tmp_path):
    paths = [tmp_path / f"{number}.dcm" for number in (1, 2)]
    for number, path in enumerate(paths, 1):
        parts.exam(pixels, number).save_as(path, enforce_file_format=True)
    return paths


def destination(httpd) -> Destination:
    url = f"http://127.0.0.1:{httpd.server_address[1]}/dicom-web"
    return Destination(name="web", stow=url, authorization_env="TEST_AUTHORIZATION")


def test_each_object_is_stored_by_itself_with_the_header_given(server, results, monkeypatch):
    httpd, handler = server
    monkeypatch.setenv("TEST_AUTHORIZATION", "Bearer abc")
    assert list(_stow(destination(httpd), results)) == results
    assert [b"1.2.826.0.1.77.1.1.%d" % n in body for n, body in enumerate(handler.bodies, 1)] == [True, True]
    assert handler.headers_seen == ["Bearer abc"] * 2


@pytest.mark.parametrize(
    ("status", "failed", "said"), [(503, False, "503"), (202, True, "0x0110"), (200, True, "")]
)
def test_a_refusal_is_no_acknowledgement(server, results, monkeypatch, status, failed, said):
    httpd, handler = server
    monkeypatch.setenv("TEST_AUTHORIZATION", "x")
    handler.status = status
    if failed:
        item = Dataset()
        item.ReferencedSOPInstanceUID, item.FailureReason = "1.2.3", 0x0110
        handler.answer = Dataset()
        handler.answer.FailedSOPSequence = [item]
    taken = []
    with pytest.raises(DeliveryError) as raised:
        taken.extend(_stow(destination(httpd), results))
    assert taken == []
    assert said in raised.value.found
    assert len(handler.bodies) == 2  # one refusal does not keep the others


def test_a_server_that_is_away_is_told_at_once(server, results, monkeypatch):
    httpd, _ = server
    monkeypatch.setenv("TEST_AUTHORIZATION", "x")
    place = destination(httpd)
    httpd.shutdown()
    httpd.server_close()
    with pytest.raises(DeliveryError, match="cannot be reached"):
        list(_stow(place, results))


def test_a_header_that_is_nowhere_set_is_named(monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ConfigError, match="NOWHERE"):
        authorization("NOWHERE")
    assert authorization(None) is None


def items(*uids: str) -> list[dict[str, object]]:
    return [{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in uids]


def test_pages_end_also_where_the_server_ignores_the_offset():
    assert list(_pages(lambda offset: items("1", "2"), "0020000D")) == items("1", "2")
    everything = items("1", "2", "3", "4", "5")
    assert list(_pages(lambda offset: everything[offset : offset + 2], "0020000D")) == everything

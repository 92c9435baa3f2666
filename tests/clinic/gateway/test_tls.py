"""Encryption: whom we let in, whom we trust, and files that cannot be used. Certificates are made for the test."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pynetdicom import AE, _config
from pynetdicom.sop_class import Verification

from senoscope.clinic.gateway.arrivals import Arrivals
from senoscope.clinic.gateway.config import Destination, Tls, make_config
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import DeliveryError
from senoscope.clinic.gateway.node import Node
from senoscope.clinic.gateway.outward import associated
from senoscope.clinic.gateway.send import _stow
from senoscope.clinic.gateway.tls import check_files, client_context, server_context
from senoscope.errors import ConfigError

IDLE_S = 3.0


@pytest.fixture
def tls(certificates):
    """Makes settings: whose certificate is shown, and which authority is trusted."""

    def make(shown: str | None = None, ca: str | None = "ca") -> Tls:
        def path(name: str | None, kind: str) -> object:
            return None if name is None else certificates / f"{name}.{kind}"

        return Tls(certificate=path(shown, "pem"), key=path(shown, "key"), ca=path(ca, "pem"))

    return make


@pytest.fixture
def port(config, queue, tls, monkeypatch):
    """A node that lets in only who has a certificate of our authority."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)  # a node in this process sets both for good
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    place = config.node.model_copy(update={"tls": tls("server"), "idle_s": IDLE_S})
    arrivals = Arrivals(queue.engine, Folders(config.data_dir), reserve=0)
    node = Node(config.model_copy(update={"node": place}), arrivals, lambda *_: False)
    yield node.start()
    node.stop(1)


def echo(port: int, context: ssl.SSLContext | None) -> bool:
    entity = AE(ae_title="PACS")
    entity.acse_timeout = entity.network_timeout = 10
    entity.add_requested_context(Verification)
    secured = (context, "127.0.0.1") if context is not None else None
    association = entity.associate("127.0.0.1", port, ae_title="SENOSCOPE", tls_args=secured)
    if not association.is_established:
        return False
    answer = association.send_c_echo()
    association.release()
    return answer.get("Status") == 0


def test_only_a_peer_with_a_certificate_gets_in(port, tls):
    assert echo(port, client_context(tls("client")))
    assert not echo(port, client_context(tls()))
    assert not echo(port, None)


def test_a_peer_that_connects_and_is_silent_keeps_nobody_out(port, tls):
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"\x16\x03\x01")  # the beginning of a handshake
        start = time.monotonic()
        assert echo(port, client_context(tls("client")))
        assert time.monotonic() - start < IDLE_S
        half.settimeout(5 * IDLE_S)
        with suppress(ConnectionResetError):
            assert half.recv(100) == b""  # hung up on in the end


def call(port: int, ours: Tls | None) -> bool:
    place = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, tls=ours)
    try:
        with associated("SENOSCOPE", place, ["1.2.840.10008.5.1.4.1.1.66.4"]) as association:
            return bool(association.is_established)
    except DeliveryError:
        return False


def test_we_send_only_to_whom_we_trust(parts, tls):
    made = parts.Receiver(encryption=server_context(tls("server"), 10))
    assert call(made.port, tls("client"))
    assert not call(made.port, tls("client", ca="stranger"))
    assert not call(made.port, tls())  # it asks for a certificate
    assert not call(made.port, None)
    made.close()
    made = parts.Receiver(encryption=server_context(tls("elsewhere", ca=None), 10))
    assert not call(made.port, tls())  # its certificate is for another host
    made.close()


@pytest.fixture
def web(tls):
    """A DICOMweb server that takes everything from those who show a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a handshake that failed, as it should

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = server_context(tls("server"), 10).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}/dicom-web"
    server.shutdown()
    server.server_close()


def test_dicomweb_trusts_the_authority_named_and_no_other(web, tls, parts, pixels, tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    parts.exam(pixels).save_as(path, enforce_file_format=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls(ca="stranger").ca))
    assert list(_stow(Destination(name="web", stow=web, tls=tls("client")), [path])) == [path]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls().ca))
    for ours in (tls("client", ca="stranger"), tls()):
        with pytest.raises(DeliveryError, match="cannot be reached"):
            list(_stow(Destination(name="web", stow=web, tls=ours), [path]))


def test_files_that_cannot_be_used_are_named_at_the_start(parts, certificates, tmp_path):
    def check(**words: str) -> None:
        files = {"certificate": "server.pem", "key": "server.key"} | words
        node = {"tls": {name: str(certificates / file) for name, file in files.items()}}
        check_files(make_config({**parts.settings(1, "senoscope-us"), "node": node}))

    check(ca="ca.pem")
    command = ["openssl", "ec", "-aes128", "-passout", "pass:word", "-in", "server.key", "-out", "locked.key"]
    subprocess.run(command, cwd=certificates, check=True, capture_output=True)
    for words in ({"key": "none.key"}, {"key": "client.key"}, {"key": "locked.key"}, {"ca": "none.pem"}):
        with pytest.raises(ConfigError, match="cannot be used for encryption"):
            check(**words)

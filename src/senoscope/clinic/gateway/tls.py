"""Encryption of associations and DICOMweb: TLS 1.2 or newer, both sides known by certificates where that is asked for.

Source: DICOM PS3.15 annex B.12 (BCP 195 profile): current TLS versions, and authentication by certificates.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from senoscope.clinic.gateway.config import Config, Tls
from senoscope.errors import ConfigError


class _PatientContext(ssl.SSLContext):
    """Leaves the handshake to the first read, in the association's own thread, and bounds it.

    pynetdicom would shake hands in the thread that accepts: a peer that connects and is silent would lock all out.
    """

    seconds: float

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        """As ``SSLContext.wrap_socket``, without the handshake."""
        sock.settimeout(self.seconds)
        return super().wrap_socket(sock, *args, **{**options, "do_handshake_on_connect": False})


def server_context(tls: Tls, seconds: float) -> ssl.SSLContext:
    """For those who call us; where ``tls.ca`` is named, they must show a certificate that it signed.

    ``seconds`` is how long a peer may leave us waiting for a byte. Raises ``ConfigError`` for files that cannot be
    used.
    """
    context = _PatientContext(ssl.PROTOCOL_TLS_SERVER)
    context.seconds = seconds
    _load(context, tls)
    if tls.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: Tls) -> ssl.SSLContext:
    """For those whom we call: their certificate must be for their host, and signed by ``tls.ca`` (or one that the
    system trusts). Raises ``ConfigError`` for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    if tls.ca is None:
        context.load_default_certs()
    _load(context, tls)
    return context


def check_files(config: Config) -> None:
    """Try every file that the configuration names. Raises ``ConfigError`` for one that cannot be used."""
    if config.node.tls is not None:
        server_context(config.node.tls, config.node.idle_s)
    for part in (*config.peers, *config.destinations, *([config.poll] if config.poll else ())):
        if part.tls is not None:
            client_context(part.tls)


def _load(context: ssl.SSLContext, tls: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca is not None:
        try:
            context.load_verify_locations(tls.ca)
        except (OSError, ssl.SSLError):
            raise _useless(tls.ca, "certificates of authorities") from None
    if tls.certificate is not None and tls.key is not None:
        try:
            context.load_cert_chain(
                tls.certificate, tls.key, password=lambda: ""
            )  # or OpenSSL asks the terminal
        except (OSError, ssl.SSLError):
            raise _useless(
                tls.certificate, f"a certificate whose key is in '{tls.key}', without a password"
            ) from None


def _useless(path: Path, expected: str) -> ConfigError:
    return ConfigError(
        f"'{path}' cannot be used for encryption",
        expected=f"a PEM file with {expected}",
        fix="check the files that 'tls' names, and that this user may read them",
    )

"""The socket's side of HTTP: late heads are hung up on, and a full queue refuses before anything is parsed.

An overloaded server that parses, authenticates and routes what it refuses spends the time its workers need. Here an
upload that must be refused costs one look at its first bytes and one write. The connection is then half closed and what
the client still sends is dropped unread by anyone: closing at once would reset it, and the client would lose the answer
("lingering close", RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from senoscope.clinic.service.admission import Gate
from senoscope.schema import RESEARCH_USE

UPLOAD = b"POST /api/exams"
_LINGER = 2.0
_MOST_LINGERING = 512


def protocol_for(gate: Gate, head_timeout: float) -> type[H11Protocol]:
    """A protocol class for uvicorn that asks ``gate`` first."""

    class Admission(_Admission):
        pass

    Admission.gate, Admission.head_timeout = gate, head_timeout
    return Admission


class _Admission(H11Protocol):
    gate: Gate
    head_timeout: float
    lingering = 0

    _timer: asyncio.TimerHandle | None = None
    refused = False
    _let_in = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Lingering(transport, self)))
        self._arm(self.head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._disarm()
        self._depart()
        if self.refused:
            type(self).lingering -= 1

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        if data.startswith(UPLOAD) and self._between_requests() and not self._let_in:
            self._let_in = self.gate.knock()
            if not self._let_in:
                self._refuse()
                return
        super().data_received(data)
        if self._between_requests():
            if self._timer is None:
                self._arm(self.head_timeout)
        else:
            self._disarm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._depart()
        if not self.refused:
            self._disarm()  # from here to the next request, uvicorn's own timer runs

    def _between_requests(self) -> bool:
        done = self.cycle is None or self.cycle.response_complete
        return bool(done and self.conn.their_state is h11.IDLE)

    def _depart(self) -> None:
        if self._let_in:
            self._let_in = False
            self.gate.depart()

    def _refuse(self) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(refusal(self.gate.retry_after))
        self.linger()

    @property
    def unheard(self) -> bool:
        """Whether the client still has something to send that nobody will read."""
        return self.cycle is not None and self.cycle.more_body

    def linger(self) -> None:
        """Say no more, let the client read, and drop what it sends for a moment."""
        cls = type(self)
        if self.refused:
            return
        self.refused = True
        cls.lingering += 1
        transport = cast(_Lingering, self.transport).transport
        if cls.lingering > _MOST_LINGERING or transport.is_closing() or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        self.flow.resume_reading()
        self._arm(_LINGER)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._hang_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self) -> None:
        self._timer = None
        transport = cast(_Lingering, self.transport).transport
        if self.refused:
            transport.abort()
        else:
            transport.close()


class _Lingering:
    """A transport whose ``close`` lingers where a body is still on its way; everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, protocol: _Admission) -> None:
        self.transport, self._protocol = transport, protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def is_closing(self) -> bool:
        return self._protocol.refused or self.transport.is_closing()

    def close(self) -> None:
        if self._protocol.unheard:
            self._protocol.linger()
        else:
            self.transport.close()


def refusal(retry_after: int) -> bytes:
    """A complete 429 response (RFC 6585 section 4, RFC 9457)."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "The queue is full.",
        "fix": f"send it again after {retry_after} s",
        "research_use": RESEARCH_USE,
    }
    body = json.dumps(problem).encode()
    head = (
        "HTTP/1.1 429 Too Many Requests\r\n"
        f"retry-after: {retry_after}\r\n"
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\n"
        "cache-control: no-store\r\n"
        "x-content-type-options: nosniff\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body

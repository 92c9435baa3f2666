"""A request's body on its way in: counted while it streams, and given up when it comes too slowly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from senoscope.clinic.service.errors import BadRequestError, MediaTypeError, SlowBodyError, TooLargeError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class LimitedBody:
    """``receive`` with a limit on bytes, and on time: ``grace`` seconds plus one per ``rate`` bytes received.

    Whatever Content-Length claims, what counts is what arrives. Raises ``TooLargeError`` and ``SlowBodyError`` from
    within the reading of the body.
    """

    def __init__(self, receive: Receive, limit: int, grace: float, rate: float) -> None:
        self._receive, self._limit, self._grace, self._rate = receive, limit, grace, rate
        self._received = 0
        self._ended = False
        self._start = time.monotonic()

    async def __call__(self) -> MutableMapping[str, Any]:
        """The next message."""
        if self._ended:  # what follows the body is only ever the client's leaving, which may take its time
            return await self._receive()
        allowed = self._grace + self._received / self._rate - (time.monotonic() - self._start)
        try:
            message = await asyncio.wait_for(self._receive(), max(allowed, 0.001))
        except TimeoutError:
            raise SlowBodyError(
                "the body came too slowly",
                expected=f"at least {self._rate / 1024:.0f} kB per second",
                fix="send it again over a better connection",
            ) from None
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            raise too_large(self._limit)
        self._ended = not message.get("more_body", False)
        return message


def check_head(headers: dict[bytes, bytes], limit: int) -> None:
    """Refuse from the head alone: a body declared too long, or packed (it could unpack to anything)."""
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
        raise MediaTypeError("the body is compressed", expected="no Content-Encoding", fix="send it unpacked")
    length = headers.get(b"content-length")
    if length is None:
        return
    if not length.isdigit():
        raise BadRequestError("Content-Length is not a number")
    if int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> TooLargeError:
    """The error for a body over ``limit`` bytes."""
    return TooLargeError(
        "the body is too large",
        expected=f"at most {limit / 1024**2:.3g} MB",
        fix="send fewer or smaller images at once",
    )

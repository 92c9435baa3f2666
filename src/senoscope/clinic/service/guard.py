"""What every request passes before any route sees it (host, origin, who, size, pace), and what every answer carries.

Plain ASGI, because all of it must happen before a body is read. Sources: OWASP Cheat Sheets (CSRF prevention, HTTP
headers), Fetch Metadata (W3C).
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from senoscope.clinic.service import audit
from senoscope.clinic.service.body import LimitedBody, Receive, check_head
from senoscope.clinic.service.errors import BadRequestError, ForbiddenError, ServiceError, UnauthorizedError
from senoscope.clinic.service.logs import where
from senoscope.clinic.service.problems import of_error, problem
from senoscope.clinic.service.tokens import User

if TYPE_CHECKING:
    from senoscope.clinic.service.service import Service

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "senoscope_session"
CSRF_HEADER = b"x-csrf-token"

# The hash is of one rule that OpenSeadragon writes for touch screens.
_CSP = (
    "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"x-senoscope-use", b"research only; not a medical device"),
)
_PROTECTED = ("/api/", "/metrics")
_OPEN = ("/api/session",)
_SAFE = ("GET", "HEAD", "OPTIONS")
_BETWEEN_ALERTS = 0.2
_LOG = logging.getLogger("senoscope.clinic.access")


class Guard:
    """Wraps the application."""

    def __init__(self, app: Application, service: Service) -> None:
        self._app, self._service = app, service
        self._alerted = -_BETWEEN_ALERTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's event stream; only plain HTTP requests pass."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun, answer = time.perf_counter(), _Answer(send)
        try:
            limited = self._admit(scope, receive)
            await self._app(scope, limited, answer)
        except ServiceError as error:
            if not answer.started:
                await of_error(error)(scope, receive, answer)
        except Exception as error:  # nothing of it may reach the client or the log but what it was and where
            _LOG.error("a request failed unexpectedly: %s", where(error))
            if not answer.started:
                await problem(500, "Something went wrong here.")(scope, receive, answer)
        finally:
            self._record(scope, answer.status, time.perf_counter() - begun)

    def _admit(self, scope: Scope, receive: Receive) -> Receive:
        headers = dict(scope["headers"])
        settings = self._service.settings
        self._check_host(headers)
        self._check_origin(scope, headers)
        upload = scope["path"] == "/api/exams"
        limit = settings.max_body if upload else settings.max_json
        check_head(headers, limit)
        scope.setdefault("state", {})["user"] = self._identify(scope, headers)
        return LimitedBody(receive, limit, settings.body_grace, settings.min_rate)

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """Another name for this address is how a foreign page gets past the same-origin rule (DNS rebinding)."""
        name = headers.get(b"host", b"").decode("latin-1").lower()
        bare = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name
        if bare not in self._service.settings.hosts:
            raise BadRequestError(
                "the Host header names no host of this server",
                fix="use the name it was started with, or start it with --allowed-host",
            )

    def _check_origin(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2].lower() != headers.get(b"host", b"").lower():
            raise ForbiddenError("the request comes from a page of another origin")
        if scope["method"] not in _SAFE and headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            raise ForbiddenError("the request comes from a page of another origin")

    def _identify(self, scope: Scope, headers: dict[bytes, bytes]) -> User | None:
        path: str = scope["path"]
        if not path.startswith(_PROTECTED):
            return None
        tokens = self._service.tokens
        scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme:
            user = tokens.user(value.strip()) if scheme.lower() == "bearer" else None
        elif not tokens.exist and self._service.settings.loopback:
            user = tokens.local()
        else:
            user = tokens.session(_cookie(headers))
        if user is None and path not in _OPEN:
            self._alert(scope, "", bool(scheme) or COOKIE.encode() in headers.get(b"cookie", b""))
            raise UnauthorizedError(
                "no valid token", fix="send 'Authorization: Bearer TOKEN', or log in on the page"
            )
        if user is not None and user.csrf and scope["method"] not in _SAFE and path not in _OPEN:
            self._check_csrf(scope, headers, user)
        return user

    def _check_csrf(self, scope: Scope, headers: dict[bytes, bytes], user: User) -> None:
        """Who is known by a cookie, or by nothing at all, must show that their own page sends this.

        A program without browser headers cannot be made to send anything by a foreign page.
        """
        browser = any(name in headers for name in (b"origin", b"sec-fetch-site", b"cookie", b"referer"))
        given = headers.get(CSRF_HEADER, b"")
        if browser and not hmac.compare_digest(given, user.csrf.encode()):
            self._alert(scope, user.name, True)
            raise ForbiddenError(
                "the CSRF token is missing or wrong", fix="GET /api/session gives it; reload the page"
            )

    def _alert(self, scope: Scope, user: str, tried: bool) -> None:
        now = time.monotonic()
        # Without any credentials it is a page that has not logged in yet; and a flood must not fill the disk.
        if tried and now - self._alerted > _BETWEEN_ALERTS:
            self._alerted = now
            self._service.note(audit.ALERT, "E", scope, user=user, outcome=8)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "(no such path)"
        method = scope["method"] if scope["method"] in (*_SAFE, "POST", "PUT", "DELETE") else "(other)"
        self._service.metrics.request(method, route, status, seconds)
        _LOG.info("%s %s %s %.1f ms", method, route, status or "gone", 1000 * seconds)


class _Answer:
    """``send`` that adds the security headers and remembers what was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    @property
    def started(self) -> bool:
        return self.status > 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            headers += [pair for pair in _HEADERS if pair[0] not in present]
            if b"cache-control" not in present:
                headers.append((b"cache-control", b"no-store"))
            message["headers"] = headers
        await self._send(message)


def _cookie(headers: dict[bytes, bytes]) -> str:
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""

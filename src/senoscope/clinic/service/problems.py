"""Errors as a client sees them: RFC 9457 problem details with what was found, expected, and how to mend it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from senoscope.clinic.service.blobs import refuse_if_full
from senoscope.clinic.service.errors import NotFoundError, ServiceError
from senoscope.errors import MissingExtraError, SenoscopeError
from senoscope.schema import RESEARCH_USE

MEDIA = "application/problem+json"


def problem(status: int, detail: str, *, retry_after: int | None = None, **more: str) -> Response:
    """A problem document; empty members are left out."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body |= {"detail": detail, **{key: value for key, value in more.items() if value}}
    headers = {"cache-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="senoscope"'
    if status in (408, 413, 429):  # whatever is still to come is not wanted
        headers["connection"] = "close"
    return JSONResponse({**body, "research_use": RESEARCH_USE}, status, headers, media_type=MEDIA)


def of_error(error: SenoscopeError) -> Response:
    """The problem document of one of our own errors."""
    status = (
        error.status
        if isinstance(error, ServiceError)
        else 501
        if isinstance(error, MissingExtraError)
        else 400
    )
    wait = error.retry_after if isinstance(error, ServiceError) else None
    return problem(
        status, f"{error.found.rstrip('.')}.", expected=error.expected, fix=error.fix, retry_after=wait
    )


async def on_error(_: Request, error: Exception) -> Response:
    """Handler of ``SenoscopeError``."""
    assert isinstance(error, SenoscopeError)  # noqa: S101 - registered for it alone
    return of_error(error)


async def on_http_error(_: Request, error: Exception) -> Response:
    """Handler of the framework's own refusals (404, 405, a form that cannot be parsed)."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    answer = problem(error.status_code, f"{HTTPStatus(error.status_code).phrase}.")
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


async def on_invalid(_: Request, error: Exception) -> Response:
    """Handler of parameters out of range: named, but never quoted. What is wrong in a path does not exist: 404."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    first = error.errors()[0]
    if first["loc"][0] == "path":
        return of_error(NotFoundError("there is no such thing"))
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    return problem(400, f"'{where}' is not valid: {_reason(first)}.")


async def on_database_error(_: Request, error: Exception) -> Response:
    """Handler of a database that is full, away or overloaded: what was not acknowledged can be sent again."""
    said = str(getattr(error, "orig", ""))
    if "full" in said or "No space left" in said:  # SQLite's words, PostgreSQL's
        return problem(507, "The disk is full.")
    return problem(503, "The database cannot be reached.", retry_after=5)


async def on_os_error(_: Request, error: Exception) -> Response:
    """Handler of a disk that is full, wherever it shows; anything else is unexpected."""
    assert isinstance(error, OSError)  # noqa: S101 - registered for it alone
    try:
        refuse_if_full(error)
    except ServiceError as full:
        return of_error(full)
    raise error


async def on_gone(_: Request, __: Exception) -> Response:
    """Handler of clients that left in the middle of a body: nobody reads this."""
    return problem(400, "The body ended early.")


def _reason(found: dict[str, Any]) -> str:
    if found["type"] in ("json_invalid", "value_error"):
        return "it cannot be read"
    return str(found["msg"]).rstrip(".")


HANDLERS: dict[Any, Any] = {
    SenoscopeError: on_error,
    HTTPException: on_http_error,
    RequestValidationError: on_invalid,
    ClientDisconnect: on_gone,
    DBAPIError: on_database_error,
    PoolTimeoutError: on_database_error,
    OSError: on_os_error,
}

"""The Accept header: what is offered must be among what the client takes (RFC 9110 section 12.5.1)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from senoscope.clinic.service.errors import NotAcceptableError


def offers(media: str) -> Callable[[Request], None]:
    """A dependency of a route that answers with ``media`` alone. Raises ``NotAcceptableError``."""

    def check(request: Request) -> None:
        if not accepted(request.headers.get("accept", ""), media):
            raise NotAcceptableError(
                "no media type that the client accepts is offered", expected=f"Accept: {media}"
            )

    return check


def accepted(header: str, media: str) -> bool:
    """Whether an Accept header (absent or empty: anything) takes ``media``; the most specific range decides."""
    if not header.strip():
        return True
    best, quality = -1, 0.0
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        rank = {media: 2, f"{media.partition('/')[0]}/*": 1, "*/*": 0}.get(kind, -1)
        if rank > best:
            best, quality = rank, _quality(parameters)
    return quality > 0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0

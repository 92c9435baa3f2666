"""Logging in on the page: a token becomes a cookie that scripts cannot read."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from senoscope import __version__
from senoscope.clinic.service import audit
from senoscope.clinic.service.errors import UnauthorizedError
from senoscope.clinic.service.guard import COOKIE
from senoscope.clinic.service.jsonbody import json_body
from senoscope.clinic.service.routes.common import TheService, refusals
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.tokens import SESSION_SECONDS, User
from senoscope.schema import RESEARCH_USE

router = APIRouter(prefix="/api/session", tags=["session"])


class Login(BaseModel):
    """A user's token."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=200)


async def _login_body(request: Request) -> Login:
    return await json_body(request, Login)


@router.get("", responses=refusals())
def session(request: Request, service: TheService) -> dict[str, Any]:
    """Who is logged in, the CSRF token their page must send with every change, and the model in use."""
    user: User | None = request.scope["state"].get("user")
    return _described(user, service)


@router.post(
    "",
    responses=refusals(413, 415),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Login.model_json_schema()}},
        }
    },
)
def log_in(
    request: Request, service: TheService, body: Annotated[Login, Depends(_login_body)]
) -> JSONResponse:
    """Exchange a token for a session's cookie (12 hours, or until the token is removed)."""
    user = service.tokens.user(body.token)
    if user is None:
        service.note(audit.LOGIN, "E", request.scope, outcome=4)
        raise UnauthorizedError(
            "the token is not known here", fix="ask for one: senoscope serve --new-token reader"
        )
    cookie = service.tokens.open_session(user)
    service.note(audit.LOGIN, "E", request.scope, user=user.name)
    answer = JSONResponse(_described(service.tokens.session(cookie), service))
    secure = request.headers.get("x-forwarded-proto") == "https" or request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, cookie, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure
    )
    return answer


@router.delete("", responses=refusals())
def log_out() -> JSONResponse:
    """Forget the cookie."""
    answer = JSONResponse({"user": None})
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _described(user: User | None, service: Service) -> dict[str, Any]:
    card = service.bundle.card
    return {
        "user": user and {"name": user.name, "role": user.role},
        "csrf": user.csrf if user else "",
        "login": service.tokens.exist,
        "model": {"name": card.name, "version": card.version, "gives": list(card.gives)},
        "limits": {"bytes": service.settings.max_body},
        "version": __version__,
        "research_use": RESEARCH_USE,
    }

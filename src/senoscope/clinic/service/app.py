"""The application: routes, error answers and OpenAPI, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from senoscope import __version__
from senoscope.clinic.service.guard import Application, Guard
from senoscope.clinic.service.problems import HANDLERS
from senoscope.clinic.service.routes import (
    downloads,
    exams,
    frames,
    health,
    images,
    operations,
    pages,
    session,
    uploads,
)
from senoscope.clinic.service.service import Service
from senoscope.schema import RESEARCH_USE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "research_use"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was found."},
        "expected": {"type": "string"},
        "fix": {"type": "string"},
        "research_use": {"type": "string"},
    },
}


def make_api(service: Service) -> FastAPI:
    """The routes around a service, without the guard (``docs/`` and tests read its OpenAPI description)."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield

    api = FastAPI(
        title="Senoscope",
        version=__version__,
        description=RESEARCH_USE,
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        exception_handlers=HANDLERS,
    )
    api.state.service = service
    for routes in (health, session, uploads, exams, images, frames, downloads, operations, pages):
        api.include_router(routes.router)
    api.mount("/static", pages.static_files(), name="static")
    api.openapi = lambda: _described(api)  # type: ignore[method-assign]  # FastAPI's own way to change it
    return api


def make_app(service: Service) -> Application:
    """The whole application."""
    return Guard(make_api(service), service)


def _described(api: FastAPI) -> dict[str, Any]:
    """OpenAPI as it is: invalid parameters give 400, and callers show who they are by token or cookie."""
    if api.openapi_schema is None:
        schema = FastAPI.openapi(api)
        for operations_of_path in schema["paths"].values():
            for operation in operations_of_path.values():
                operation["responses"].pop("422", None)
        components = schema.setdefault("components", {})
        kept = components.setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            kept.pop(unused, None)
        kept["Problem"] = _PROBLEM
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        api.openapi_schema = schema
    return api.openapi_schema

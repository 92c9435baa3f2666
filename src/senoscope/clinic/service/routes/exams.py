"""Exams: listing, looking at what became of them, erasing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from senoscope.clinic.service import audit
from senoscope.clinic.service.errors import NotFoundError
from senoscope.clinic.service.negotiate import offers
from senoscope.clinic.service.routes.common import (
    ExamId,
    TheAdmin,
    TheService,
    TheUser,
    exam_view,
    refusals,
)
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.times import iso
from senoscope.schema import RESEARCH_USE

_JSON = Depends(offers("application/json"))

router = APIRouter(prefix="/api", tags=["exams"])


@router.get("/exams", dependencies=[_JSON], responses=refusals(406))
def list_exams(
    request: Request,
    service: TheService,
    user: TheUser,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[float | None, Query(ge=0, le=1e11, allow_inf_nan=False)] = None,
) -> dict[str, Any]:
    """Your exams (an administrator's: everybody's), newest first; ``next`` goes into ``before`` to go on."""
    found = service.store.exams(user.sees, limit, before)
    service.note(audit.QUERY, "E", request.scope)
    more = found[-1]["created"] if len(found) == limit else None
    exams = [{**exam, "created": iso(exam["created"])} for exam in found]
    return {"exams": exams, "next": more, "research_use": RESEARCH_USE}


@router.get("/exams/{exam}", dependencies=[_JSON], responses=refusals(404, 406))
def one_exam(exam: ExamId, request: Request, service: TheService, user: TheUser) -> dict[str, Any]:
    """An exam: each image's status, class probabilities and newest version of every finding."""
    found = service.store.exam(exam, user.sees)
    service.note(audit.ACCESS, "R", request.scope, subject=exam)
    return exam_view(found)


@router.delete("/exams/{exam}", status_code=204, response_class=Response, responses=refusals(404))
def erase_exam(exam: ExamId, request: Request, service: TheService, user: TheAdmin) -> Response:
    """Erase an exam with its images, findings and their versions: at once, for good, and audited. Administrators only.

    An analysis of it that is under way ends without a result.
    """
    source = (request.scope.get("client") or ("",))[0]
    if not service.upkeep.erase(exam, {"user": user.name, "role": user.role, "source": source}):
        raise NotFoundError("there is no such exam")
    service.changed(exam)
    return Response(status_code=204)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Server-sent events", "content": {"text/event-stream": {}}},
        **refusals(429),
    },
)
async def events(service: TheService, user: TheUser) -> StreamingResponse:
    """Ids of your exams as they change, as server-sent events named ``exam``."""
    service.hub.check_room()

    async def stream() -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        async for exam in service.hub.listen():
            if not exam:
                yield ": still here\n\n"
            elif await run_in_threadpool(_may_see, service, exam, user.sees):
                yield f"event: exam\ndata: {exam}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


def _may_see(service: Service, exam: str, owner: str | None) -> bool:
    return owner is None or service.store.owner(exam) == owner

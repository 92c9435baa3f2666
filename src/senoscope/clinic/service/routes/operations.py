"""For whoever runs the server: figures, the queue, and what could not be analysed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from senoscope.clinic.service.metrics import MEDIA
from senoscope.clinic.service.negotiate import offers
from senoscope.clinic.service.routes.common import TheAdmin, TheService, TheUser, refusals
from senoscope.clinic.service.store import KIND

router = APIRouter(tags=["operations"])
_JSON = Depends(offers("application/json"))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refusals()},
)
def metrics(service: TheService, user: TheUser) -> Response:
    """Prometheus' text format."""
    return Response(service.metrics.text(), media_type=MEDIA)


@router.get("/api/queue", dependencies=[_JSON], responses=refusals(406))
def queue(service: TheService, user: TheAdmin) -> dict[str, Any]:
    """How many images wait, are worked on, are done and were given up, and the newest reasons."""
    letters = [
        {"exam": letter.payload["exam"], "image": letter.payload["image"], "error": letter.error}
        for letter in service.queue.dead_letters(KIND)
    ]
    return {"images": service.queue.counts(KIND), "dead_letters": letters}


@router.post("/api/queue/replay", dependencies=[_JSON], responses=refusals(406))
def replay(service: TheService, user: TheAdmin) -> dict[str, int]:
    """Try again what was given up."""
    count = service.queue.replay(KIND)
    service.workers.wake()
    return {"replayed": count}

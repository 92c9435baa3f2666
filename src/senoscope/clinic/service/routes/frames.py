"""One frame of a loop: what was said of it, its picture and its evidence."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from senoscope.clinic.service import audit
from senoscope.clinic.service.errors import NotFoundError
from senoscope.clinic.service.loops import stored_frame
from senoscope.clinic.service.negotiate import offers
from senoscope.clinic.service.pictures import picture_png
from senoscope.clinic.service.restore import stored_heat
from senoscope.clinic.service.routes.common import (
    KEEP,
    PNG,
    ExamId,
    Number,
    TheService,
    TheUser,
    heat_answer,
    image_view,
    refusals,
)
from senoscope.clinic.service.service import Service
from senoscope.errors import ImageError

router = APIRouter(prefix="/api/exams/{exam}/images/{image}/frames/{frame}", tags=["frames"])


@router.get("", dependencies=[Depends(offers("application/json"))], responses=refusals(404, 406))
def one_frame(
    exam: ExamId, image: Number, frame: Number, request: Request, service: TheService, user: TheUser
) -> dict[str, Any]:
    """A frame in the words of an image: status, class probabilities, newest version of every finding."""
    row = service.store.image(exam, image, user.sees)
    for told in service.store.frames(row, [frame]):
        return image_view(exam, told)
    raise NotFoundError("there is no such frame")


@router.get("/picture.png", response_class=Response, responses={**PNG, **refusals(404)})
def picture(
    exam: ExamId, image: Number, frame: Number, request: Request, service: TheService, user: TheUser
) -> Response:
    """The frame as 8-bit PNG. The audit log names a loop once a minute, not every frame of it that is played."""
    row = _loop(exam, image, service, user.sees)
    try:
        shown = picture_png(stored_frame(service.blobs, row, frame).pixels)
    except ImageError:
        raise NotFoundError("there is no such frame, or it cannot be read") from None
    if service.frames_seen.is_new((user.name, exam, image)):
        service.note(audit.ACCESS, "R", request.scope, subject=exam)
    return Response(shown, headers=KEEP, media_type="image/png")


@router.get("/heatmap.png", response_class=Response, responses={**PNG, **refusals(404)})
def heatmap(exam: ExamId, image: Number, frame: Number, service: TheService, user: TheUser) -> Response:
    """Where the frame's class came from, to lay over its picture."""
    return heat_answer(stored_heat(service.store, _loop(exam, image, service, user.sees), frame))


def _loop(exam: str, image: int, service: Service, owner: str | None) -> Row[Any]:
    row = service.store.image(exam, image, owner)
    if row.result is None or row.picture is not None or row.kind != "DICOM":
        raise NotFoundError("this image is no loop, or it still waits")
    return row

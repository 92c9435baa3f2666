"""Pictures of an exam's images, and what readers say of their findings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from senoscope.clinic.service import audit
from senoscope.clinic.service.errors import NotFoundError
from senoscope.clinic.service.jsonbody import json_body
from senoscope.clinic.service.negotiate import offers
from senoscope.clinic.service.restore import stored_heat
from senoscope.clinic.service.reviews import MAX_POINTS, review, versions
from senoscope.clinic.service.routes.common import (
    KEEP,
    PNG,
    ExamId,
    Number,
    TheService,
    TheUser,
    finding_view,
    heat_answer,
    refusals,
)

router = APIRouter(prefix="/api/exams/{exam}/images/{image}", tags=["images"])

_Coordinate = Annotated[float, Field(ge=-10_000, le=1_000_000, allow_inf_nan=False)]


class Review(BaseModel):
    """What a reader says of a finding. ``version`` is the one they looked at; an edit brings the new contour."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["accept", "edit", "reject"]
    version: int = Field(ge=1, le=1_000_000, strict=True)
    contour: list[tuple[_Coordinate, _Coordinate]] | None = Field(
        default=None, min_length=3, max_length=MAX_POINTS
    )


async def _review_body(request: Request) -> Review:
    return await json_body(request, Review)


@router.get("/picture.png", response_class=FileResponse, responses={**PNG, **refusals(404)})
def picture(
    exam: ExamId, image: Number, request: Request, service: TheService, user: TheUser
) -> FileResponse:
    """The image as 8-bit PNG: colour as it is, deep grey over its whole range."""
    row = service.store.image(exam, image, user.sees)
    if row.picture is None:
        raise NotFoundError("there is no picture (yet)", fix="of a loop, ask for a frame's")
    service.note(audit.ACCESS, "R", request.scope, subject=exam)
    return FileResponse(service.blobs.path(row.picture), headers=KEEP, media_type="image/png")


@router.get("/heatmap.png", response_class=Response, responses={**PNG, **refusals(404)})
def heatmap(exam: ExamId, image: Number, service: TheService, user: TheUser) -> Response:
    """Where the class came from, to lay over the picture: orange for malignant, blue for benign."""
    row = service.store.image(exam, image, user.sees)
    if row.picture is None:
        raise NotFoundError("there is no heatmap (yet)", fix="of a loop, ask for a frame's")
    return heat_answer(stored_heat(service.store, row))


@router.get(
    "/findings/{number}", dependencies=[Depends(offers("application/json"))], responses=refusals(404, 406)
)
def finding_versions(
    exam: ExamId, image: Number, number: Number, service: TheService, user: TheUser
) -> dict[str, Any]:
    """Every version of a finding, oldest first: the model's own is version 1."""
    service.store.image(exam, image, user.sees)
    return {"versions": [finding_view(each) for each in versions(service.store, exam, image, number)]}


@router.put(
    "/findings/{number}",
    dependencies=[Depends(offers("application/json"))],
    responses=refusals(404, 406, 408, 409, 413, 415),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Review.model_json_schema()}},
        }
    },
)
def review_finding(
    exam: ExamId,
    image: Number,
    number: Number,
    request: Request,
    service: TheService,
    user: TheUser,
    body: Annotated[Review, Depends(_review_body)],
) -> dict[str, Any]:
    """Accept, edit or reject a finding: a new version; earlier ones are kept."""
    service.store.image(exam, image, user.sees)
    with service.heavy:
        made = review(
            service.store,
            exam,
            image,
            number,
            action=body.action,
            author=user.name,
            version=body.version,
            contour=body.contour,
        )
    service.note(audit.ACCESS, "U", request.scope, subject=exam)
    service.changed(exam)
    return finding_view(made)

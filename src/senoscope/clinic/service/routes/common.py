"""What routes share: the running service, the user, ids in paths, and how exams look from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Path
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from senoscope.clinic.service.errors import ForbiddenError, NotFoundError, UnauthorizedError
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.times import iso
from senoscope.clinic.service.tokens import User
from senoscope.explain.class_map import colours
from senoscope.imaging.draw import png_bytes
from senoscope.schema import RESEARCH_USE, FloatArray


def service_of(request: Request) -> Service:
    """The running service."""
    service: Service = request.app.state.service
    return service


def user_of(request: Request) -> User:
    """Whoever asks; the guard has made sure that it is somebody."""
    user: User | None = request.scope["state"].get("user")
    if user is None:
        raise UnauthorizedError("nobody is logged in")
    return user


def admin_of(request: Request) -> User:
    """An administrator. Raises ``ForbiddenError`` for a reader."""
    user = user_of(request)
    if user.role != "admin":
        raise ForbiddenError("this needs the role admin")
    return user


TheService = Annotated[Service, Depends(service_of)]
TheUser = Annotated[User, Depends(user_of)]
TheAdmin = Annotated[User, Depends(admin_of)]
ExamId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="An exam's id.")]
Number = Annotated[int, Path(ge=1, le=1_000_000, description="Counts from 1.")]

PROBLEMS: dict[int, str] = {
    400: "Not well formed, or out of range",
    401: "No valid token",
    403: "Not allowed to this role, or from a foreign page",
    404: "No such thing, or another user's",
    406: "No acceptable media type",
    408: "The body came too slowly",
    409: "Changed by somebody else, or not ready yet",
    413: "The body is too large",
    415: "A kind of body that is not read here",
    429: "The queue is full: see Retry-After",
    501: "Not part of this installation",
    503: "The database cannot be reached: see Retry-After",
    507: "The disk is full",
}
"""Every refusal that a client should be ready for."""

PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}
KEEP = {"cache-control": "private, max-age=86400, immutable"}
"""For pictures: a result never changes under its address."""

_PROBLEM_SCHEMA = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of refusals. Any request may be refused as malformed, for want of a token,
    of the database or of room on the disk."""
    return {
        status: {"description": PROBLEMS[status], "content": _PROBLEM_SCHEMA}
        for status in sorted({400, 401, 403, 503, 507, *statuses})
    }


def exam_view(exam: Mapping[str, Any]) -> dict[str, Any]:
    """An exam as the interface gives it: times as text, addresses of pictures, and what this is for."""
    return {
        **{key: value for key, value in exam.items() if key != "card"},
        "created": iso(exam["created"]),
        "images": [image_view(exam["id"], image) for image in exam["images"]],
        "research_use": RESEARCH_USE,
    }


def image_view(exam: str, image: Mapping[str, Any]) -> dict[str, Any]:
    """An image, or a frame of a loop, as the interface gives it."""
    place = f"/api/exams/{exam}/images/{image['number']}"
    if image["frame"] is not None:
        place += f"/frames/{image['frame']}"
    shown = {key: value for key, value in image.items() if not key.startswith("has_")}
    for name in ("picture", "heatmap"):
        shown[name] = f"{place}/{name}.png" if image[f"has_{name}"] else None
    if shown["findings"] is not None:
        shown["findings"] = [finding_view(finding) for finding in shown["findings"]]
    return shown


def finding_view(finding: Mapping[str, Any]) -> dict[str, Any]:
    """A finding's version as the interface gives it."""
    return {**finding, "changed": iso(finding["changed"])}


def heat_answer(heat: FloatArray | None) -> Response:
    """Evidence (H×W, 0..1) as a picture: orange for malignant, blue for benign. Raises ``NotFoundError`` without."""
    if heat is None:
        raise NotFoundError("there is no heatmap")
    return Response(png_bytes(Image.fromarray(colours(heat))), headers=KEEP, media_type="image/png")

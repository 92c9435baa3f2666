"""Exams: sending images, listing, and looking at what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any, BinaryIO
from unicodedata import category

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse

from senoscope.clinic.service import audit
from senoscope.clinic.service.blobs import refuse_if_full
from senoscope.clinic.service.errors import BadRequestError, MediaTypeError
from senoscope.clinic.service.negotiate import offers
from senoscope.clinic.service.routes.common import ExamId, TheService, TheUser, exam_view, refusals
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.store import Upload
from senoscope.clinic.service.times import iso
from senoscope.errors import ImageError
from senoscope.imaging.formats import check_preamble, sniff
from senoscope.schema import RESEARCH_USE

MAX_IMAGES = 32
_PIECE = 1 << 20
_JSON = Depends(offers("application/json"))

router = APIRouter(prefix="/api", tags=["exams"])

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "additionalProperties": False,
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_IMAGES,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}


@router.post(
    "/exams",
    status_code=201,
    dependencies=[_JSON],
    openapi_extra=_FORM,
    responses={
        200: {"description": "The same images were sent before"},
        **refusals(406, 408, 413, 415, 429, 507),
    },
)
async def send_images(request: Request, service: TheService, user: TheUser) -> JSONResponse:
    """Send the images (PNG, JPEG, TIFF, BMP, PGM/PPM or single-frame DICOM) of one exam.

    When the answer comes they are safely stored and queued. The same images sent again are the same exam (200).
    """
    service.gate.enter()
    try:
        form = await _form(request)
        try:
            uploads = await run_in_threadpool(_keep, service, _files(form))
        finally:
            await form.close()
        card = service.bundle.card
        exam, new = await run_in_threadpool(service.store.add_exam, user.name, card, uploads)
        if new:
            service.gate.added(len(uploads))
            service.workers.wake()
    finally:
        service.gate.leave()
    await run_in_threadpool(service.note, audit.IMPORT, "C", request.scope, subject=exam)
    service.changed(exam)
    body = {"id": exam, "url": f"/api/exams/{exam}", "images": len(uploads), "research_use": RESEARCH_USE}
    return JSONResponse(body, 201 if new else 200, {"location": f"/api/exams/{exam}"})


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


async def _form(request: Request) -> FormData:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise MediaTypeError(
            "the body is no form with files",
            expected="Content-Type: multipart/form-data with the images in 'files'",
        )
    try:
        return await request.form(max_files=MAX_IMAGES, max_fields=1, max_part_size=1024)
    except OSError as error:
        refuse_if_full(error)
        raise


def _files(form: FormData) -> list[UploadFile]:
    files = [value for value in form.getlist("files") if isinstance(value, UploadFile)]
    if not files or len(files) != len(form.multi_items()):
        raise BadRequestError(
            "the form holds something else than images in 'files'" if files else "the form holds no images",
            expected=f"1 to {MAX_IMAGES} files, each in a part named 'files'",
        )
    return files


def _keep(service: Service, files: Sequence[UploadFile]) -> list[Upload]:
    """Have every file on disk; refuse all if one is empty or of another kind."""
    kinds = [_kind(file, number) for number, file in enumerate(files, 1)]
    return [
        Upload(_name(file), kind, service.blobs.put(_pieces(file.file)))
        for file, kind in zip(files, kinds, strict=True)
    ]


def _name(file: UploadFile) -> str:
    """The client's name for a file, without the control characters and half letters that no database takes."""
    return "".join(letter for letter in file.filename or "" if category(letter) not in ("Cc", "Cs"))


def _kind(file: UploadFile, number: int) -> str:
    start = file.file.read(512)
    file.file.seek(0)
    if not start:
        raise BadRequestError(f"image {number} is empty (0 bytes)", expected="an image")
    try:
        kind = sniff(start, f"image {number}")
        if kind == "DICOM":
            check_preamble(start, f"image {number}")
    except ImageError as error:
        raise MediaTypeError(error.found, expected=error.expected, fix=error.fix) from None
    return kind


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece

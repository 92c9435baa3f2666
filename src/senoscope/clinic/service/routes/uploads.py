"""Sending the images of an exam: acknowledged when they are stored and queued, and otherwise not kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO
from unicodedata import category

from fastapi import APIRouter, Depends
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse

from senoscope.clinic.service import audit
from senoscope.clinic.service.blobs import refuse_if_full
from senoscope.clinic.service.errors import BadRequestError, MediaTypeError
from senoscope.clinic.service.negotiate import offers
from senoscope.clinic.service.references import discard
from senoscope.clinic.service.routes.common import TheService, TheUser, refusals
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.store import Upload
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
        **refusals(406, 408, 413, 415, 429),
    },
)
async def send_images(request: Request, service: TheService, user: TheUser) -> JSONResponse:
    """Send the images (PNG, JPEG, TIFF, BMP, PGM/PPM or DICOM, stills and loops) of one exam.

    When the answer comes they are safely stored and queued. The same images sent again are the same exam (200).
    """
    service.gate.enter()
    try:
        form = await _form(request)
        try:
            files = _files(form)
            async with _watched(request) as gone:
                exam, new = await run_in_threadpool(_record, service, user.name, files, gone.is_set)
        finally:
            await form.close()
        if new:
            service.gate.added(len(files))
            service.workers.wake()
    finally:
        service.gate.leave()
    await run_in_threadpool(service.note, audit.IMPORT, "C", request.scope, subject=exam)
    service.changed(exam)
    body = {"id": exam, "url": f"/api/exams/{exam}", "images": len(files), "research_use": RESEARCH_USE}
    return JSONResponse(body, 201 if new else 200, {"location": f"/api/exams/{exam}"})


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


def _record(
    service: Service, owner: str, files: Sequence[UploadFile], is_gone: Callable[[], bool]
) -> tuple[str, bool]:
    """Have every file on disk and their exam in the database (its id, and whether it is new), or nothing of them.

    Refuses all if one is empty or of another kind, or if the client is gone.
    """
    kinds = [_kind(file, number) for number, file in enumerate(files, 1)]
    store, kept = service.store, list[Upload]()
    try:
        for file, kind in zip(files, kinds, strict=True):
            kept.append(Upload(_name(file), kind, store.blobs.put(_pieces(file.file))))
        return store.add_exam(owner, service.bundle.card, kept, is_gone)
    except Exception:
        with suppress(SQLAlchemyError):  # without its database the next start does it
            discard(store.engine, store.blobs, [upload.content for upload in kept])
        raise


@asynccontextmanager
async def _watched(request: Request) -> AsyncIterator[threading.Event]:
    """An event that is set when the client, whose body has been read, leaves."""
    gone = threading.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watcher = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watcher.cancel()


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

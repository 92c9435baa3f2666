"""An exam as documents to take away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from senoscope.clinic.service import audit
from senoscope.clinic.service.exports import check_finished, dicom_archive, html_document, json_document
from senoscope.clinic.service.negotiate import offers
from senoscope.clinic.service.routes.common import ExamId, TheService, TheUser, refusals
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.store import Store
from senoscope.clinic.service.tokens import User

router = APIRouter(prefix="/api/exams/{exam}", tags=["downloads"])

# The page may run its own script and show its own pictures, as it says itself; it may load nothing.
_REPORT_CSP = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


def _binary(media: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"content": {media: {"schema": {"type": "string", "format": "binary"}}}},
        **refusals(404, 406, 409),
    }


@router.get(
    "/report.json",
    dependencies=[Depends(offers("application/json"))],
    response_class=Response,
    responses={
        200: {"content": {"application/json": {"schema": {"type": "object"}}}},
        **refusals(404, 406, 409),
    },
)
def json_report(exam: ExamId, request: Request, service: TheService, user: TheUser) -> Response:
    """The format of ``findings.json``."""
    return _document(json_document, "application/json", "json", exam, request, service, user)


@router.get(
    "/report.html",
    dependencies=[Depends(offers("text/html"))],
    response_class=Response,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **refusals(404, 406, 409)},
)
def html_report(exam: ExamId, request: Request, service: TheService, user: TheUser) -> Response:
    """One self-contained page."""
    answer = _document(html_document, "text/html; charset=utf-8", "html", exam, request, service, user)
    answer.headers["content-security-policy"] = _REPORT_CSP
    return answer


@router.get(
    "/report.pdf",
    dependencies=[Depends(offers("application/pdf"))],
    response_class=Response,
    responses=_binary("application/pdf"),
)
def pdf_report(exam: ExamId, request: Request, service: TheService, user: TheUser) -> Response:
    """To print or file."""
    from senoscope.clinic.service.pdf import pdf_document  # a large library, for those who ask

    return _document(pdf_document, "application/pdf", "pdf", exam, request, service, user)


@router.get(
    "/dicom.zip",
    dependencies=[Depends(offers("application/zip"))],
    response_class=Response,
    responses={**_binary("application/zip"), **refusals(404, 406, 409, 501)},
)
def dicom_objects(exam: ExamId, request: Request, service: TheService, user: TheUser) -> Response:
    """SEG, SR and SC of the images that came as DICOM."""
    return _document(dicom_archive, "application/zip", "zip", exam, request, service, user)


@router.get(
    "/fhir",
    dependencies=[Depends(offers("application/fhir+json"))],
    response_class=Response,
    responses={
        200: {"content": {"application/fhir+json": {"schema": {"type": "object"}}}},
        **refusals(404, 406, 409),
    },
)
def fhir(
    exam: ExamId,
    request: Request,
    service: TheService,
    user: TheUser,
    version: Annotated[Literal["R5", "R4B"], Query(description="FHIR release.")] = "R5",
) -> Response:
    """A Bundle: DiagnosticReport (preliminary), Observations, Device, and in R5 ImagingSelections."""
    from senoscope.clinic.service.fhir import fhir_bundle

    found = _finished(exam, service, user)
    service.note(audit.EXPORT, "R", request.scope, subject=exam)
    return JSONResponse(fhir_bundle(service.store, found, version), media_type="application/fhir+json")


def _document(
    make: Callable[[Store, dict[str, Any]], bytes],
    media: str,
    suffix: str,
    exam: str,
    request: Request,
    service: Service,
    user: User,
) -> Response:
    found = _finished(exam, service, user)
    with service.heavy:
        body = make(service.store, found)
    service.note(audit.EXPORT, "R", request.scope, subject=exam)
    name = f'attachment; filename="senoscope-{exam[:12]}.{suffix}"'
    return Response(body, headers={"content-disposition": name}, media_type=media)


def _finished(exam: str, service: Service, user: User) -> dict[str, Any]:
    found = service.store.exam(exam, user.sees)
    check_finished(found)
    return found

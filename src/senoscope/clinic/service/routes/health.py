"""Health and model metadata in the Open Inference Protocol's words (KServe v2, required API)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from senoscope import __version__
from senoscope.clinic.service.errors import NotFoundError
from senoscope.clinic.service.routes.common import TheService, refusals
from senoscope.schema import RESEARCH_USE

router = APIRouter(prefix="/v2", tags=["health"])
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"description": "Starting, stopping, without a worker or without its database"}
}


@router.get("")
def server() -> dict[str, Any]:
    """The server's name, version and extensions."""
    return {"name": "senoscope", "version": __version__, "extensions": [], "research_use": RESEARCH_USE}


@router.get("/health/live")
def live() -> dict[str, bool]:
    """Whether the process answers."""
    return {"live": True}


@router.get("/health/ready", responses=_NOT_READY)
def ready(service: TheService) -> JSONResponse:
    """Whether uploads are taken and a worker has loaded the model."""
    good = service.is_ready
    return JSONResponse({"ready": good}, 200 if good else 503)


@router.get("/models/{name}", responses=refusals(404))
def model(name: str, service: TheService) -> dict[str, Any]:
    """What the model takes and gives. Images go in through ``POST /api/exams``; there is no tensor interface."""
    card = _card(name, service)
    size = card.preprocess.size
    inputs = [{"name": "image", "datatype": "FP32", "shape": [1, 1, size, size]}]
    shapes = {"class_logits": [1, len(card.classes)], "mask_logits": [1, 1, size, size], "boxes": [1, 4]}
    outputs = [
        {"name": name, "datatype": "FP32", "shape": shapes.get(name, [1, -1, -1, -1])} for name in card.gives
    ]
    return {
        "name": card.name,
        "versions": [card.version],
        "platform": "onnx_onnxv1",
        "inputs": inputs,
        "outputs": outputs,
        "weights_sha256": service.bundle.weights_hash,
        "classes": list(card.classes),
        "operating_points": card.operating_points,
        "limits": list(card.limits),
        "research_use": RESEARCH_USE,
    }


@router.get("/models/{name}/ready", responses={**refusals(404), **_NOT_READY})
def model_ready(name: str, service: TheService) -> JSONResponse:
    """Whether a worker has loaded this model."""
    _card(name, service)
    good = service.is_ready
    return JSONResponse({"name": name, "ready": good}, 200 if good else 503)


def _card(name: str, service: TheService) -> Any:
    if name != service.bundle.card.name:
        raise NotFoundError("there is no such model", expected=service.bundle.card.name)
    return service.bundle.card

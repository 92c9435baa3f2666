"""JSON from strangers: small, shallow, and made of real numbers."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from senoscope.clinic.service.errors import BadRequestError, MediaTypeError

MAX_DEPTH = 16
_Body = TypeVar("_Body", bound=BaseModel)


async def json_body(request: Request, model: type[_Body]) -> _Body:
    """The request's body as ``model``.

    Raises ``MediaTypeError`` unless it is declared JSON, ``BadRequestError`` for anything malformed, deeper than
    ``MAX_DEPTH``, with NaN or infinities (``1e999`` too), with unknown keys or values out of range.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise MediaTypeError("the body is not declared as JSON", expected="Content-Type: application/json")
    value = parse(await request.body())
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80] or "the body"
        raise BadRequestError(f"'{where}' is not valid: {first['msg']}") from None


def parse(data: bytes) -> Any:
    """A JSON text's value. Raises ``BadRequestError``."""
    if _depth(data) > MAX_DEPTH:
        raise BadRequestError("the JSON is nested too deeply", expected=f"at most {MAX_DEPTH} levels")
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise BadRequestError(
            "the body is not JSON", expected="RFC 8259 JSON in UTF-8, numbers finite"
        ) from None


def _depth(data: bytes) -> int:
    """How deep arrays and objects nest, without parsing: brackets in texts do not count."""
    deepest = depth = 0
    quoted = escaped = False
    for byte in data:
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _refuse(_: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value

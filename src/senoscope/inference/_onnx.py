"""A look into an ONNX file before anything runs it: no data outside the file, no NaN among the weights.

ONNX is a protocol-buffer message. These lines walk its wire format (https://protobuf.dev/programming-guides/encoding)
just far enough to see every tensor, so that neither the ``onnx`` package nor a parser generator is needed to analyse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from senoscope.errors import BundleError

# Message kinds of onnx.proto and where one may contain another: {kind: {field number: kind of that field}}.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_FLOATS: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}  # TensorProto.DataType
_DEEPEST = 40


def check_onnx(model: bytes) -> None:
    """Raise ``BundleError`` for a damaged file, tensors stored outside it, or weights that are NaN or infinite."""
    _walk(memoryview(model), "model", 0)


def _walk(message: memoryview, kind: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise BundleError("the ONNX model nests graphs without end", fix="export the model again")
    if kind == "tensor":
        _check_tensor(message)
        return
    inside = _INSIDE[kind]
    for number, value in _fields(message):
        if number in inside and isinstance(value, memoryview):
            _walk(value, inside[number], depth + 1)


def _check_tensor(message: memoryview) -> None:
    element, name, chunks = 0, "?", []
    for number, value in _fields(message):
        if number == 2 and isinstance(value, int):
            element = value
        elif number == 8 and isinstance(value, memoryview):
            name = bytes(value).decode("utf-8", "replace")
        elif number in (4, 9, 10) and isinstance(value, memoryview):  # float_data, raw_data, double_data
            chunks.append(value)
        elif number == 13 or (number == 14 and value == 1):  # external_data, data_location == EXTERNAL
            raise BundleError(
                f"tensor '{name[:80]}' of the ONNX model is stored outside the file",
                expected="one file that holds all its weights",
                fix="export the model again without external data",
            )
    if element in _FLOATS:
        for chunk in chunks:
            whole = chunk[: len(chunk) - len(chunk) % _FLOATS[element].itemsize]
            if not np.isfinite(np.frombuffer(whole, _FLOATS[element])).all():
                raise BundleError(
                    f"weights '{name[:80]}' of the ONNX model hold NaN or infinite values",
                    expected="finite numbers",
                    fix="the training that made it diverged; export an earlier checkpoint",
                )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == 2:
            length, at = _varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise _damaged()
        if at + length > len(message):
            raise _damaged()
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _damaged()


def _damaged() -> BundleError:
    return BundleError(
        "the ONNX model is damaged or not an ONNX file", fix="install or export the bundle again"
    )

"""Checks a safetensors file without loading it (format: an 8-byte length, a JSON header, then raw numbers)."""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from senoscope.errors import WeightsError

MAX_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library itself."""

_SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Tensors of a safetensors file: name to dtype, shape and data offsets.

    Raises ``WeightsError`` before allocating anything when the header's length is beyond the file or 100 MB, is not
    JSON, or does not describe exactly the bytes that follow it.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or length > min(MAX_HEADER, size - 8):
            raise _bad(path, f"claims a header of {length:,} bytes in a file of {size:,}")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise _bad(path, "has a header that is not JSON") from None
    if not isinstance(header, dict):
        raise _bad(path, "has a header that is not a table")
    header.pop("__metadata__", None)
    try:
        ends = [_end(entry) for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"][0])]
    except (KeyError, TypeError, ValueError, IndexError):
        raise _bad(path, "has a header whose tensors are not described properly") from None
    begin = 0
    for start, end in ends:
        if start != begin:
            raise _bad(path, "has tensors that overlap or leave holes")
        begin = end
    if begin != size - 8 - length:
        raise _bad(path, f"should hold {begin:,} bytes of numbers and holds {size - 8 - length:,}")
    return header


def check_finite(path: Path) -> None:
    """Raise ``WeightsError`` if any weight is NaN or infinite, or if the file itself is unsound."""
    header = read_header(path)
    with path.open("rb") as stream:
        offset = 8 + int.from_bytes(stream.read(8), "little")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for name, entry in header.items():
                start, end = entry["data_offsets"]
                if not _all_finite(data[offset + start : offset + end], entry["dtype"]):
                    raise WeightsError(
                        f"{path.name}: tensor '{name[:80]}' holds NaN or infinite values",
                        expected="finite weights",
                        fix="use an earlier checkpoint",
                    )


def _all_finite(raw: bytes, dtype: str) -> bool:
    if dtype in _FLOATS:
        return bool(np.isfinite(np.frombuffer(raw, _FLOATS[dtype])).all())
    if dtype == "BF16":  # NaN and infinity are the exponent of all ones
        return bool(((np.frombuffer(raw, "<u2") & 0x7F80) != 0x7F80).all())
    return True


def _end(entry: dict[str, Any]) -> tuple[int, int]:
    start, end = (int(value) for value in entry["data_offsets"])
    if end - start != math.prod(int(side) for side in entry["shape"]) * _SIZES[entry["dtype"]]:
        raise ValueError
    return start, end


def _bad(path: Path, what: str) -> WeightsError:
    return WeightsError(
        f"{path.name} {what}",
        expected="a whole safetensors file",
        fix="it is damaged or not what its name says: fetch it again",
    )

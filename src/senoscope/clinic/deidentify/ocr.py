"""Words in a picture, found by the tesseract program where it is installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from io import StringIO

from PIL import Image

from senoscope.imaging.draw import gray_image, png_bytes
from senoscope.schema import FloatArray

_SECONDS = 60
# tesseract's confidence, 0 to 100. On nine images of BUSI and three phantoms, labels read at 92 to 96, speckle as short
# words of up to 86, 2 px high.
_SURE, _LONG_SURE, _LONG = 88.0, 70.0, 4
_LOWEST = 6  # px
_MARGIN = 3


def available() -> str | None:
    """The program's path, ``None`` without it."""
    return shutil.which("tesseract")


def words(gray: FloatArray) -> list[tuple[int, int, int, int]]:
    """Boxes of read words as (top, bottom, left, right), half-open, with a margin; empty without the program.

    ``gray`` is float H×W in 0..1. Dark and light text are both read: tesseract inverts by itself where that helps.
    """
    program = available()
    if program is None:
        return []
    scale = 2 if max(gray.shape) < 1600 else 1
    image = gray_image(gray)
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    return _read(program, png_bytes(image), scale, gray.shape)


def _read(program: str, png: bytes, scale: int, shape: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    command = [program, "stdin", "stdout", "--psm", "11", "tsv"]
    surroundings = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        run = subprocess.run(  # noqa: S603 - a fixed command; the picture comes on standard input
            command, input=png, capture_output=True, timeout=_SECONDS, check=True, env=surroundings
        )
    except (OSError, subprocess.SubprocessError):
        return []
    boxes = []
    for row in csv.DictReader(
        StringIO(run.stdout.decode("utf-8", "replace")), delimiter="\t", quoting=csv.QUOTE_NONE
    ):
        text = "".join(c for c in (row.get("text") or "") if c.isalnum())
        if len(text) < 2 or float(row["conf"]) < (_LONG_SURE if len(text) >= _LONG else _SURE):
            continue
        left, top = int(row["left"]) // scale, int(row["top"]) // scale
        right, bottom = left + -(-int(row["width"]) // scale), top + -(-int(row["height"]) // scale)
        height = bottom - top
        if _LOWEST <= height <= 0.2 * shape[0]:  # a "word" as tall as the picture is tissue
            boxes.append(
                (
                    max(0, top - _MARGIN),
                    min(shape[0], bottom + _MARGIN),
                    max(0, left - _MARGIN),
                    min(shape[1], right + _MARGIN),
                )
            )
    return boxes

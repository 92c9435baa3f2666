"""mini-MIAS: 322 film mammograms of 161 women (Suckling et al. 1994).

``mdb001.pgm`` … ``mdb322.pgm`` with ``Info.txt``: one line per finding, giving the background tissue, the
kind of abnormality, its severity and a circle around it. Its coordinates count from the bottom-left corner
of the 1024×1024 original; films come in pairs, even numbers showing the left and odd ones the right breast.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from senoscope.data._layout import find_root, image_size
from senoscope.data.verify import Problem
from senoscope.errors import DatasetError
from senoscope.schema import Box, Record

FOLDER, TABLE = "all-mias", "Info.txt"
FRAME = 1024  # side of the original in pixels
PIXEL_MM = 0.2  # "200 micron pixel edge" (Info.txt)
TISSUE = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
_LINE = re.compile(
    r"(?P<name>mdb\d{3})\s+(?P<tissue>[FGD])\s+(?P<kind>CALC|CIRC|SPIC|MISC|ARCH|ASYM|NORM)"
    r"(?:\s+(?P<severity>[BM]))?(?:\s+(?P<x>\d+)\s+(?P<y>\d+)\s+(?P<radius>\d+))?(?:\s+\*NOTE 3\*)?"
)


class Line(NamedTuple):
    """One finding of ``Info.txt``. ``circle`` is (x, y from the bottom, radius), ``None`` where not given."""

    name: str
    tissue: str
    kind: str
    severity: str | None
    circle: tuple[int, int, int] | None


def read(root: Path) -> list[Record]:
    """One Record per film of ``Info.txt`` that is on disk.

    The label is the worst of the film's findings. A film whose findings lack coordinates keeps
    ``boxes=None``; a normal film has ``boxes=()`` and ``masks=()``.
    Raises ``DatasetError`` naming an unreadable line.
    """
    base = find_root(root, FOLDER, (TABLE,))
    films = {name: list(lines) for name, lines in groupby(read_info(base), key=lambda line: line.name)}
    return [
        _record(base / f"{name}.pgm", lines)
        for name, lines in films.items()
        if (base / f"{name}.pgm").is_file()
    ]


def read_info(base: Path) -> list[Line]:
    """The findings of ``Info.txt`` in the order of their films."""
    lines = []
    text = (base / TABLE).read_text(encoding="latin-1")  # the owner's file predates UTF-8
    for number, line in enumerate(text.splitlines(), start=1):
        if not re.match(r"mdb\d", line):
            continue
        match = _LINE.fullmatch(line.strip())
        if not match or (match["kind"] != "NORM" and match["severity"] is None):
            raise DatasetError(
                f"{TABLE} line {number} reads '{line.strip()}'",
                expected="name, tissue, class, severity, x, y, radius, as in 'mdb001 G CIRC B 535 425 197'",
            )
        circle = (int(match["x"]), int(match["y"]), int(match["radius"])) if match["x"] else None
        lines.append(Line(match["name"], match["tissue"], match["kind"], match["severity"], circle))
    return sorted(lines, key=lambda line: line.name)


def _record(image: Path, lines: list[Line]) -> Record:
    width, height = image_size(image)
    number = int(image.stem.removeprefix("mdb"))
    severities = {line.severity for line in lines}
    label = "malignant" if "M" in severities else "benign" if "B" in severities else "normal"
    return Record(
        id=f"mini-mias:{image.stem}",
        dataset="mini-mias",
        image=image,
        modality="MG",
        label=label,
        masks=() if label == "normal" else None,
        boxes=() if label == "normal" else _boxes(lines, width / FRAME, height / FRAME),
        patient=f"mini-mias:{(number + 1) // 2}",
        view="MLO",
        laterality="L" if number % 2 == 0 else "R",
        spacing=(PIXEL_MM * FRAME / height, PIXEL_MM * FRAME / width),
        clinical={
            "tissue": TISSUE[lines[0].tissue],
            "abnormality": ";".join(line.kind for line in lines),
            "severity": ";".join(line.severity or "" for line in lines) or None,
        },
    )


def _boxes(lines: list[Line], across: float, down: float) -> tuple[Box, ...] | None:
    """Boxes around the circles in the frame on disk; ``None`` as soon as one finding has no circle."""
    circles = [line.circle for line in lines if line.circle is not None]
    if len(circles) < len(lines):
        return None
    return tuple(
        Box(x - radius, FRAME - y - radius, 2 * radius, 2 * radius).scaled(across, down)
        for x, y, radius in circles
    )


def check(base: Path) -> Iterator[Problem]:
    """What only this layout can say: films and the lines of ``Info.txt`` that lack each other."""
    if not (base / TABLE).is_file():
        return  # `read` says so
    for name in dict.fromkeys(line.name for line in read_info(base)):
        film = base / f"{name}.pgm"
        if not film.is_file():
            yield Problem(
                film.name, f"missing, though {TABLE} has a line", "the film", "unpack the archive again"
            )
        elif len(set(image_size(film))) > 1:
            found = "{}×{} pixels".format(*image_size(film))
            yield Problem(film.name, found, "a square: coordinates refer to 1024×1024", "unpack it again")

"""Which images of the known datasets have text burnt into their pixels: looked for once, kept in the package.

Looking takes tenths of a second per image, so a prediction table does not look: it joins these columns by case. They
are the audit's (``senoscope datasets audit`` writes ``text.csv``); docs/reference/datasets.md says how far a pair of
eyes agrees with them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from senoscope._files import write_text
from senoscope.data._split_file import guarded
from senoscope.errors import TableError

__all__ = ["FOLDER", "has_text", "read_text_column", "write_text_column"]

FOLDER = Path(__file__).parent / "overlays"
"""One file ``<dataset>.csv`` per dataset that was looked at."""

_HEADER = ["id", "text"]
_WORDS = {"yes": True, "no": False}


def has_text(dataset: str, case: str) -> bool | None:
    """Whether a case's image has burnt-in text; ``None`` for one that was never looked at."""
    return _known(dataset).get(case)


def write_text_column(found: Mapping[str, bool], path: Path) -> None:
    """Write ``id,text`` with yes or no per case, in the order of ``found``."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_HEADER)
    writer.writerows((guarded(case), "yes" if text else "no") for case, text in found.items())
    write_text(path, stream.getvalue())


def read_text_column(path: Path) -> dict[str, bool]:
    """Read what :func:`write_text_column` wrote. Raises ``TableError`` for anything else."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    if rows[:1] != [_HEADER] or any(len(row) != len(_HEADER) or row[1] not in _WORDS for row in rows[1:]):
        raise TableError(f"{path} is no column of burnt-in text", expected="id,text with yes or no per case")
    return {case: _WORDS[word] for case, word in rows[1:]}


@cache
def _known(dataset: str) -> Mapping[str, bool]:
    kept = {path.stem: path for path in FOLDER.glob("*.csv")}
    return MappingProxyType(read_text_column(kept[dataset]) if dataset in kept else {})

"""File names for results: safe on every system, unique, and never outside the output folder."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

_LONGEST = 80
_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)),
}


class Names:
    """Hands out one name per image. Two images of one name in different folders get ``name`` and ``name-2``."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def take(self, source: str) -> str:
        """A free name (without suffix) for the image at ``source``."""
        name = safe_name(source)
        while True:
            key = name.casefold()  # file systems that ignore case would overwrite one with the other
            count = self._used[key] = self._used.get(key, 0) + 1
            if count == 1:
                return name
            name = f"{name}-{count}"


def safe_name(source: str) -> str:
    """Letters, digits, ``.``, ``_``, ``-`` of a path's last part, without suffix; letters of any script stay."""
    name = unicodedata.normalize("NFC", PurePath(source.replace("\\", "/")).name)
    stem, dot, suffix = name.rpartition(".")
    if dot and stem and len(suffix) <= 5:
        name = stem
    name = re.sub(r"[^\w.-]+", "_", name).strip("._-")[:_LONGEST].rstrip("._-")
    return f"_{name}" if name.partition(".")[0].casefold() in _RESERVED else name or "image"

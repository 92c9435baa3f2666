"""Proof by looking: is any identifying value of the original still anywhere in the copy?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydicom import DataElement, Dataset, dcmread
from pydicom.multival import MultiValue

from senoscope.clinic.deidentify.profile import rules

_TEXT = frozenset("AE AS CS DA DT LO LT PN SH ST TM UC UI UR UT IS DS UN OB".split())  # noqa: SIM905 - a table
_FREE = frozenset(["LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "UN"])
_SPLIT = re.compile(r"[\^=\s,]+")


def identifying_values(original: Dataset) -> set[str]:
    """Every value that must not come back: of identifying attributes, with the parts of names, and of private or
    unlisted free text. Values that a kept attribute states as well are public (a protocol called BREAST)."""
    table = rules()
    strong: set[str] = set()
    weak: set[str] = set()
    public: set[str] = set()
    for element in _walk(original):
        rule = table.get(int(element.tag))
        values = {text for text in _texts(element) if text}
        if rule is not None and rule.identifies:
            strong |= values
            if element.VR == "PN":
                strong |= {part for value in values for part in _SPLIT.split(value)}
        elif rule is None and element.VR in _FREE:
            weak |= {value for value in values if len(value) >= 6}
        elif rule is not None and rule.action == "K":
            public |= values
    strong = {value for value in strong if _long_enough(value)}
    return strong | {value for value in weak if value not in public}


def found_in(path: Path, values: set[str]) -> list[str]:
    """Keywords of the written file's attributes in which any of ``values`` stands; never the values themselves."""
    written = dcmread(path)
    tests = [(value.casefold(), _pattern(value)) for value in values]
    found = []
    for element in (*_walk(written.file_meta), *_walk(written)):
        texts = [text.casefold() for text in _texts(element)]
        if any(_stands(value, pattern, text, element) for value, pattern in tests for text in texts):
            found.append(element.keyword or str(element.tag))
    return found


def _stands(value: str, pattern: re.Pattern[str], text: str, element: DataElement) -> bool:
    """Whether a value stands in an element's text, and not by the chance of digits meeting in a made-up identifier."""
    if element.keyword in ("PatientName", "PatientID"):  # pseudonyms made here
        return value == text or value in _SPLIT.split(text)
    if element.VR == "UI":
        return value == text
    if value.isdigit() and len(value) < 6 and element.VR not in _FREE:
        return False
    return pattern.search(text) is not None


def _pattern(value: str) -> re.Pattern[str]:
    """Whole words only for plain short words ("Lee" is not in "sleep") and numbers; any place for all else."""
    text = re.escape(value.casefold())
    if value.isdigit():
        return re.compile(rf"(?<![\d.]){text}(?![\d.])")
    plain = value.isascii() and value.isalpha() and len(value) < 8
    return re.compile(rf"(?<![a-z]){text}(?![a-z])" if plain else text)


def _long_enough(value: str) -> bool:
    """One or two letters or digits occur anywhere by chance; two signs of another script do not."""
    return len(value) >= (3 if value.isascii() else 2)


def _walk(dataset: Dataset) -> Iterator[DataElement]:
    for element in dataset:
        if element.keyword == "PixelData":
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from _walk(item)
        else:
            yield element


def _texts(element: DataElement) -> list[str]:
    if element.VR not in _TEXT or element.value is None:
        return []
    values = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
    texts = []
    for value in values:
        if isinstance(value, bytes):
            if len(value) <= 65536:
                texts.append(value.decode("utf-8", "replace").strip("\0 "))
        else:
            texts.append(str(value).strip("\0 "))
    return texts

"""Text of any script as a row of glyphs from left to right: what a PDF page wants.

fpdf2 leaves joining and direction to a shaping library that may not be there. Arabic letters are joined here by
Unicode's own presentation forms, whose tables come with Python (Unicode 15, chapter 9.2; *Arabic Presentation Forms*),
and put in order by fpdf2's implementation of the bidirectional algorithm (UAX #9).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from functools import cache

from fpdf.bidi import BIDI_BRACKETS, BidiParagraph, auto_detect_base_direction
from fpdf.enums import TextDirection

MISSING = "\ufffd"
"""Stands for a character that no font has."""

_FORMS = (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFD))
_JOINERS = "\u0640\u200d"  # tatweel, zero-width joiner
_LAM = "\u0644"


def known(text: str, characters: Container[int]) -> str:
    """The text composed, with ``MISSING`` for what is not among ``characters``; spaces of all kinds are one."""
    plain = "".join(" " if letter.isspace() else letter for letter in unicodedata.normalize("NFC", text))
    kept = (letter for letter in plain if unicodedata.category(letter) != "Cc")
    return "".join(letter if _has(letter, characters) else MISSING for letter in kept)


def joined(text: str, characters: Container[int]) -> str:
    """Arabic letters in the shapes their neighbours give them, still in the order they are read in.

    A shape that is not among ``characters`` is left as the plain letter.
    """
    letters = _ligated(text)
    made = []
    for index, letter in enumerate(letters):
        forms = _forms().get(letter)
        if not forms:
            made.append(letter)
            continue
        before = _joins_next(_neighbour(letters, index, -1)) and "final" in forms
        after = _joins_next(letter) and _joins_previous(_neighbour(letters, index, 1))
        form = ("medial" if after else "final") if before else ("initial" if after else "isolated")
        shape = forms.get(form, letter)
        made.append(shape if all(ord(part) in characters for part in shape) else letter)
    return "".join(made)


def is_right_to_left(text: str) -> bool:
    """Whether a paragraph begins at the right: its first letter says so."""
    return bool(auto_detect_base_direction(text) == TextDirection.RTL)


def has_right_to_left(text: str) -> bool:
    """Whether any of a text runs from right to left."""
    return any(unicodedata.bidirectional(letter) in ("R", "AL", "AN", "RLE", "RLO", "RLI") for letter in text)


def set_apart(text: str) -> str:
    """A piece that keeps to itself within a line of Latin: a number after it would otherwise be drawn before it."""
    return f"{text}\u200e" if has_right_to_left(text) else text  # left-to-right mark


def in_order(line: str, right_to_left: bool) -> str:
    """One line's characters from left to right; marks of direction and joining, which show nothing, are gone."""
    base = TextDirection.RTL if right_to_left else TextDirection.LTR
    made = []
    for each in BidiParagraph(line, base).reorder_resolved_levels():
        turned = each.embedding_level % 2 and each.character in BIDI_BRACKETS
        made.append(BIDI_BRACKETS[each.character]["pair"] if turned else each.character)
    return "".join(letter for letter in made if unicodedata.category(letter) != "Cf")


def _has(letter: str, characters: Container[int]) -> bool:
    return ord(letter) in characters or unicodedata.category(letter) == "Cf"


@cache
def _forms() -> dict[str, dict[str, str]]:
    """The presentation forms of every Arabic letter, and of lam with alef, by name of the form."""
    found: dict[str, dict[str, str]] = {}
    for code in _FORMS:
        kind, _, bases = unicodedata.decomposition(chr(code)).partition("> ")
        base = "".join(chr(int(part, 16)) for part in bases.split())
        if len(base) == 1 or (len(base) == 2 and base[0] == _LAM and base[1] in "\u0622\u0623\u0625\u0627"):
            found.setdefault(base, {})[kind.removeprefix("<")] = chr(code)
    return found


def _ligated(text: str) -> list[str]:
    """Letters, of which lam and the alef after it are one: that they always join is a rule of the script."""
    letters: list[str] = []
    for letter in text:
        if letters and letters[-1] == _LAM and _LAM + letter in _forms():
            letters[-1] += letter
        else:
            letters.append(letter)
    return letters


def _neighbour(letters: list[str], index: int, step: int) -> str:
    """The next letter that is no mark above or below one; empty at the end."""
    index += step
    while 0 <= index < len(letters) and unicodedata.category(letters[index][0]) == "Mn":
        index += step
    return letters[index] if 0 <= index < len(letters) else ""


def _joins_next(letter: str) -> bool:
    return (letter != "" and letter in _JOINERS) or "initial" in _forms().get(letter, {})


def _joins_previous(letter: str) -> bool:
    return (letter != "" and letter in _JOINERS) or "final" in _forms().get(letter, {})

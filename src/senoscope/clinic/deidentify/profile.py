"""The table of attributes: which are kept, emptied, replaced, shifted or removed.

``profile.csv`` follows DICOM PS3.15 Table E.1-1 (Basic Application Level Confidentiality Profile, edition 2024b) for
the modules of ultrasound, mammography and secondary-capture images. Column ``basic`` is the standard's action, empty
where the table does not name the attribute; ``action`` is what is done here:

K keep, Z empty, D dummy that stands for the same patient, U replaced UID, T date shifted, X removed. ``identifies``
marks attributes whose values are searched for in the result. **Whatever is not in the table is removed**, private
attributes, overlays and curves among it, so that an attribute nobody thought of cannot slip through.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

EDITION = "DICOM PS3.15 2024b, Table E.1-1"


@dataclass(frozen=True, slots=True)
class Rule:
    """One attribute's row."""

    keyword: str
    basic: str
    action: str
    identifies: bool


@cache
def rules() -> dict[int, Rule]:
    """Every row by its tag."""
    text = resources.files("senoscope.clinic.deidentify").joinpath("profile.csv").read_text(encoding="utf-8")
    return {
        int(row["tag"], 16): Rule(row["keyword"], row["basic"], row["action"], row["identifies"] == "yes")
        for row in csv.DictReader(text.splitlines())
    }

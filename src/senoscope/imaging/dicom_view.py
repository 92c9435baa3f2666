"""Which breast, and which projection of it, a DICOM file says it shows.

Source: DICOM PS3.3 C.8.11.7 (mammography image), PS3.16 CID 4014 (views; SNOMED CT, and SNOMED RT in old files).
"""

from __future__ import annotations

from pydicom import Dataset

_VIEWS = {
    "399162004": "CC", "R-10242": "CC",
    "399368009": "MLO", "R-10226": "MLO",
    "399260004": "ML", "R-10228": "ML",
    "399352003": "LM", "R-10230": "LM",
    "399099002": "LMO",
    "399188001": "XCCL", "R-1024A": "XCCL",
    "399192008": "XCCM", "R-1024B": "XCCM",
    "399196006": "FB", "R-10244": "FB",
    "399101009": "SIO", "R-102D0": "SIO",
}  # fmt: skip
_WORDS = frozenset(_VIEWS.values())


def laterality(header: Dataset) -> str | None:
    """``L``, ``R`` or ``B``, of the image, else of its series; ``None`` if the file does not say."""
    for keyword in ("ImageLaterality", "Laterality"):
        if header.get(keyword) in ("L", "R", "B"):
            return str(header.get(keyword))
    return None


def view(header: Dataset) -> str | None:
    """The projection's usual letters, from its code, else from View Position; ``None`` if neither is known."""
    for item in header.get("ViewCodeSequence") or ():
        found = _VIEWS.get(str(item.get("CodeValue", "")))
        if found:
            return found
    stated = str(header.get("ViewPosition") or "").strip().upper()
    return stated if stated in _WORDS else None

"""What may enter a study: the first object under an identifier, of the study's one patient.

Identifiers are kept as hashes only, so the ledger of a large archive is small and names nobody.
"""

from __future__ import annotations

from enum import StrEnum

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.source import Source


class Verdict(StrEnum):
    """``NEW``: take it. ``SAME``: it is here already. ``CONFLICT``: its identifier is, with other content; the first
    one stays. ``MIXED``: it names another patient than its study did before; the study belongs in quarantine."""

    NEW = "new"
    SAME = "same"
    CONFLICT = "conflict"
    MIXED = "mixed"


class Intake:
    """Remembers every admitted object: its content's hash, and its study's patient."""

    def __init__(self) -> None:
        self._contents: dict[str, str] = {}
        self._patients: dict[str, str] = {}
        self._mixed: set[str] = set()

    def admit(self, source: Source, content: str) -> Verdict:
        """Judge one object and remember it. ``content`` is a hash of the whole file."""
        study = identity.study_folder(source.header.StudyInstanceUID)
        patient = patient_key(source)
        if self._patients.setdefault(study, patient) != patient:
            self._mixed.add(study)
        instance = identity.short(source.header.SOPInstanceUID)
        first = self._contents.get(instance)
        self._contents.setdefault(instance, content)
        if study in self._mixed:
            return Verdict.MIXED
        if first is None:
            return Verdict.NEW
        return Verdict.SAME if first == content else Verdict.CONFLICT

    def is_mixed(self, source: Source) -> bool:
        """Whether objects of more than one patient have claimed this object's study."""
        return identity.study_folder(source.header.StudyInstanceUID) in self._mixed


def patient_key(source: Source) -> str:
    """Who the patient is, as a hash: identifier and its issuer, or name and birth date where there is none."""
    header = source.header
    names = (
        ("PatientID", "IssuerOfPatientID") if header.get("PatientID") else ("PatientName", "PatientBirthDate")
    )
    return identity.short("\0".join(str(header.get(name) or "") for name in names))

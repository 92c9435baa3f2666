"""A dataset by the table: every attribute kept, emptied, replaced, shifted or removed."""

from __future__ import annotations

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue

from senoscope.clinic.deidentify.keyed import Key
from senoscope.clinic.deidentify.profile import EDITION, rules

METHOD = f"Senoscope; basic profile and more, {EDITION}"[:64]
# CID 7050: what was done, for programs.
_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113101", "Clean Pixel Data Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)


def identifier(dataset: Dataset) -> str:
    """What tells one patient from another in the source: identifier and issuer, or name and birth date."""
    names = (
        ("PatientID", "IssuerOfPatientID")
        if dataset.get("PatientID")
        else ("PatientName", "PatientBirthDate")
    )
    return "\0".join(str(dataset.get(name) or "").strip() for name in names)


def cleaned(original: Dataset, key: Key) -> Dataset:
    """A new dataset that holds what the table lets through; ``original`` stays as it is. Text becomes UTF-8."""
    patient = identifier(original)
    made = _copy(original, key, patient)
    made.SpecificCharacterSet = "ISO_IR 192"
    pseudonym = key.patient(patient)
    made.PatientName, made.PatientID = f"{pseudonym}^", pseudonym
    for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        setattr(made, keyword, "")
    made.PatientIdentityRemoved = "YES"
    made.LongitudinalTemporalInformationModified = "MODIFIED"
    made.DeidentificationMethod = METHOD
    made.DeidentificationMethodCodeSequence = [_code(value, meaning) for value, meaning in _CODES]
    return made


def _copy(original: Dataset, key: Key, patient: str) -> Dataset:
    table, made = rules(), Dataset()
    for element in original:
        rule = table.get(int(element.tag))
        if rule is None or rule.action == "X" or element.tag.is_private:
            continue
        if element.VR == "SQ":
            items = [_copy(item, key, patient) for item in element.value]
            made.add(DataElement(element.tag, "SQ", [item for item in items if len(item)]))
        elif rule.action == "K":
            made.add(DataElement(element.tag, element.VR, element.value))
        elif rule.action == "U":
            made.add(DataElement(element.tag, "UI", _each(element.value, key.uid)))
        elif rule.action == "T":
            shifted = _each(element.value, lambda value: key.shifted(value, patient))
            made.add(DataElement(element.tag, element.VR, shifted))
        else:  # Z and D: emptied here, dummies are put in by the caller
            made.add(DataElement(element.tag, element.VR, ""))
    return made


def _each(value: object, change: object) -> object:
    assert callable(change)  # noqa: S101
    if isinstance(value, MultiValue):
        return [change(str(part)) for part in value]
    return change(str(value)) if value else ""


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item

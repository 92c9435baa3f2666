"""Pieces that FHIR resources are put together from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Resource = dict[str, Any]

_UCUM = "http://unitsofmeasure.org"


def components(finding: Mapping[str, Any]) -> Iterator[Resource]:
    """What is measured on a finding, and where it is."""
    if finding["frame"]:
        yield whole("Frame", finding["frame"])
    if finding["score"] is not None:
        yield quantity("Probability of malignancy", finding["score"], "1")
    if finding["area_mm2"] is not None:
        yield quantity("Area", finding["area_mm2"], "mm2")
    elif finding["area_px"] is not None:
        yield quantity("Area", finding["area_px"], "{pixels}")
    for key, unit in (("max_diameter_mm", "mm"), ("max_diameter_px", "{pixels}")):
        if key in finding["measures"]:
            yield quantity("Largest diameter", finding["measures"][key], unit)
    for name in ("shape", "orientation", "margin"):
        if finding[name] is not None:
            yield {"code": {"text": name.capitalize()}, "valueCodeableConcept": {"text": finding[name]}}
    x, y, width, height = finding["box"]
    text = f"x {x:g}, y {y:g}, width {width:g}, height {height:g} pixels"
    yield {"code": {"text": "Box"}, "valueString": text}


def quantity(name: str, value: float, unit: str) -> Resource:
    """A component with a number in a UCUM unit."""
    return {
        "code": {"text": name},
        "valueQuantity": {"value": value, "unit": unit, "system": _UCUM, "code": unit},
    }


def whole(name: str, value: int) -> Resource:
    """A component with a whole number."""
    return {"code": {"text": name}, "valueInteger": value}


def coded(system: str, code: str, display: str) -> Resource:
    """A CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code, "display": display}]}


def reference(resource: Resource) -> Resource:
    """A reference to a resource of the same bundle."""
    return {"reference": f"urn:uuid:{resource['id']}"}


def study(uid: str) -> Resource:
    """A study by its UID; whoever keeps it knows its resource."""
    return {
        "type": "ImagingStudy",
        "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"},
    }

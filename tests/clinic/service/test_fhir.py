"""FHIR resources, validated by fhir.resources, with values taken from the exam they are about."""

from __future__ import annotations

import importlib
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from pydicom import dcmread

KINDS = {
    "R5": {"DiagnosticReport", "Device", "Observation", "ImagingSelection"},
    "R4B": {"DiagnosticReport", "Device", "Observation"},
}


def asked(local: Any, exam: str, version: str) -> dict[str, Any]:
    answer = local.client.get(f"/api/exams/{exam}/fhir?version={version}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    body: dict[str, Any] = answer.json()
    return body


def validate(bundle: dict[str, Any], version: str) -> None:
    """Each resource, and the bundle, against the release's own model; unknown keys are errors."""
    package = "fhir.resources" + ("" if version == "R5" else f".{version}")
    for resource in (bundle, *(entry["resource"] for entry in bundle["entry"])):
        kind = resource["resourceType"]
        model = getattr(importlib.import_module(f"{package}.{kind.lower()}"), kind)
        model.model_validate(resource)


@pytest.mark.parametrize("version", ["R5", "R4B"])
def test_a_dicom_exam(local: Any, lesion_dicom: bytes, version: str) -> None:
    pytest.importorskip("fhir.resources")
    exam = local.send(lesion_dicom, name="a.dcm")
    local.work()
    finding = local.client.get(f"/api/exams/{exam}").json()["images"][0]["findings"][0]
    bundle = asked(local, exam, version)
    validate(bundle, version)
    resources = [entry["resource"] for entry in bundle["entry"]]
    assert {resource["resourceType"] for resource in resources} == KINDS[version]
    for resource in resources:
        assert "not a medical device" in resource["text"]["div"]
        assert resource.get("status") in ("preliminary", "active", "available")
    by_kind = {resource["resourceType"]: resource for resource in resources}
    report = by_kind["DiagnosticReport"]
    source = dcmread(BytesIO(lesion_dicom))
    studies = report["study" if version == "R5" else "imagingStudy"]
    assert studies[0]["identifier"]["value"] == f"urn:oid:{source.StudyInstanceUID}"
    places = {entry["fullUrl"] for entry in bundle["entry"]}
    results = [reference["reference"] for reference in report["result"]]
    assert len(results) == 2  # the finding, and the image as a whole
    assert set(results) <= places
    lesion = next(
        resource for resource in resources if resource["id"] == results[0].removeprefix("urn:uuid:")
    )
    values = {
        part["code"]["text"]: part["valueQuantity"] for part in lesion["component"] if "valueQuantity" in part
    }
    assert values["Probability of malignancy"]["value"] == finding["score"]
    assert (values["Area"]["value"], values["Area"]["code"]) == (finding["area_mm2"], "mm2")
    assert finding["area_mm2"] == pytest.approx(finding["area_px"] * 0.01)
    if version == "R5":
        (instance,) = by_kind["ImagingSelection"]["instance"]
        assert instance["uid"] == source.SOPInstanceUID
        line = instance["imageRegion2D"][0]["coordinate"]
        assert line[:2] == line[-2:]
        assert line[:2] == pytest.approx([value + 0.5 for value in finding["contour"][0]], abs=0.01)
    assert asked(local, exam, version) == bundle  # the same exam, the same resources


def test_a_picture_has_no_uids_and_rejected_findings_are_left_out(local: Any, lesion: bytes) -> None:
    exam = local.send(lesion)
    local.work()
    review = {"action": "reject", "version": 1}
    local.client.put(f"/api/exams/{exam}/images/1/findings/1", json=review)
    resources = [entry["resource"] for entry in asked(local, exam, "R5")["entry"]]
    assert [resource["resourceType"] for resource in resources] == [
        "DiagnosticReport",
        "Device",
        "Observation",
    ]
    assert "study" not in resources[0]
    assert len(resources[0]["result"]) == 1


def test_the_device_changes_with_the_weights(local: Any, lesion: bytes) -> None:
    exam = local.send(lesion)
    local.work()
    resources = [entry["resource"] for entry in asked(local, exam, "R4B")["entry"]]
    (device,) = (resource for resource in resources if resource["resourceType"] == "Device")
    assert device["identifier"][0]["value"] == local.service.bundle.weights_hash


def test_dicom_objects_come_as_an_archive(local: Any, lesion_dicom: bytes) -> None:
    pytest.importorskip("highdicom")
    exam = local.send(lesion_dicom, name="a.dcm")
    local.work()
    answer = local.client.get(f"/api/exams/{exam}/dicom.zip")
    assert answer.status_code == 200, answer.text
    with ZipFile(BytesIO(answer.content)) as archive:
        objects = [dcmread(BytesIO(archive.read(name))) for name in archive.namelist()]
    assert sorted(each.Modality for each in objects) == ["OT", "SEG", "SR"]
    source = dcmread(BytesIO(lesion_dicom))
    assert {each.StudyInstanceUID for each in objects} == {source.StudyInstanceUID}
    assert local.client.get(f"/api/exams/{exam}/dicom.zip").content == answer.content

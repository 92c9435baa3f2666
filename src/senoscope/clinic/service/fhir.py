"""An exam as FHIR resources, R5 or R4B: what the software says, always ``preliminary`` and never about a named patient.

DiagnosticReport and one Observation per finding, made by a Device whose identity changes with the weights. R5 has
ImagingSelection for the outline on the picture, or on a frame of a loop (``instance.subset``); R4B has not, and refers
to the ImagingStudy alone. Images that did not come as DICOM have no UIDs to refer to. Sources: hl7.org/fhir/R5 and
/R4B; LOINC 18748-4; UCUM.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Literal

from senoscope import __version__
from senoscope.clinic.service.dicom_ids import Identity, identity_of
from senoscope.clinic.service.fhir_values import (
    Resource,
    coded,
    components,
    quantity,
    reference,
    study,
    whole,
)
from senoscope.clinic.service.restore import bundle_of
from senoscope.clinic.service.store import Store
from senoscope.clinic.service.times import iso
from senoscope.inference.bundle import Bundle
from senoscope.schema import RESEARCH_USE

Version = Literal["R5", "R4B"]

_SPACE = uuid.UUID("5b0e6d2c-3a6f-5d5e-9d6a-0f6f3c1c7f4e")
_POINTS = 200  # of an outline; more than a screen shows


def fhir_bundle(store: Store, exam: Mapping[str, Any], version: Version) -> Resource:
    """A ``collection`` Bundle of an exam as ``Store.exam`` describes it. The same exam gives the same resources."""
    bundle = bundle_of(store, exam)
    ids = {image["number"]: _identity(store, exam["id"], image) for image in exam["images"]}
    maker = _Maker(exam, bundle, version, ids, lambda image: _looked_at(store, exam, image))
    resources = list(maker.resources())
    entries = [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "collection", "timestamp": maker.issued, "entry": entries}


def _identity(store: Store, exam: str, image: Mapping[str, Any]) -> Identity | None:
    if image["kind"] != "DICOM":
        return None
    return identity_of(store.blobs.path(store.image(exam, image["number"]).content))


def _looked_at(
    store: Store, exam: Mapping[str, Any], image: Mapping[str, Any]
) -> Iterable[Mapping[str, Any]]:
    """A still itself; of a loop the frames with findings."""
    if image["cine"] is None:
        return [image]
    marked = [mark["frame"] for mark in image["cine"]["marks"]]
    return store.frames(store.image(exam["id"], image["number"]), marked)


class _Maker:
    def __init__(
        self,
        exam: Mapping[str, Any],
        bundle: Bundle,
        version: Version,
        ids: Mapping[int, Identity | None],
        looked_at: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]],
    ) -> None:
        self._exam, self._bundle, self._r5, self._ids = exam, bundle, version == "R5", ids
        self._looked_at = looked_at
        self.issued = iso(exam["created"])
        self._device = self._id("device", bundle.weights_hash)

    def resources(self) -> Iterator[Resource]:
        observations: list[Resource] = []
        selections: list[Resource] = []
        for image in self._exam["images"]:
            for finding in self._kept(image):
                selection = self._selection(image, finding)
                if selection is not None:
                    selections.append(selection)
                observations.append(self._finding(image, finding, selection))
            observations.append(self._image(image))
        yield self._report(observations)
        yield self._device_resource()
        yield from observations
        yield from selections

    def _kept(self, image: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        for looked_at in self._looked_at(image):
            for finding in looked_at["findings"] or ():
                if finding["review"] != "rejected":
                    yield finding

    def _report(self, observations: Sequence[Resource]) -> Resource:
        studies = sorted({identity.study for identity in self._ids.values() if identity is not None})
        report: Resource = {
            **self._head("DiagnosticReport", "report", "Findings drawn by software."),
            "status": "preliminary",
            "category": [coded("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology")],
            "code": coded("http://loinc.org", "18748-4", "Diagnostic imaging study"),
            "issued": self.issued,
            "result": [reference(observation) for observation in observations],
            "conclusion": f"{RESEARCH_USE} Preliminary, not verified by a physician. No BI-RADS category is given.",
        }
        if studies:
            report["study" if self._r5 else "imagingStudy"] = [study(uid) for uid in studies]
        return report

    def _device_resource(self) -> Resource:
        name = f"Senoscope {self._bundle.card.name}"
        versions = [{"value": self._bundle.card.version}, {"value": f"senoscope {__version__}"}]
        device: Resource = {
            **self._head("Device", "device", f"{name}, software."),
            "id": self._device,
            "identifier": [{"system": "urn:senoscope:weights-sha256", "value": self._bundle.weights_hash}],
            "status": "active",
            "version": versions,
            "note": [{"text": RESEARCH_USE}],
        }
        device["name" if self._r5 else "deviceName"] = [
            {("value" if self._r5 else "name"): name, "type": "user-friendly-name"}
        ]
        return device

    def _image(self, image: Mapping[str, Any]) -> Resource:
        """What is said of an image as a whole (a loop's key frame): class probabilities, or why there are none."""
        number, loop = image["number"], image["cine"]
        key = f", key frame {loop['key_frame']} of {loop['frames']}" if loop and loop["key_frame"] else ""
        said: Resource = {
            **self._observation(f"image-{number}", f"Image {number}{key}: {image['status']}.", image),
            "code": {"text": "Breast image analysed by software"},
        }
        shares = image["probabilities"] or {}
        components = [quantity(f"Probability: {name}", share, "1") for name, share in shares.items()]
        if key:
            components += [whole("Key frame", loop["key_frame"]), whole("Frames", loop["frames"])]
        if components:
            said["component"] = components
        if not shares:
            text = "; ".join([image["status"], *image["reasons"]])
            said["dataAbsentReason"] = {"text": text}
        return said

    def _finding(
        self, image: Mapping[str, Any], finding: Mapping[str, Any], selection: Resource | None
    ) -> Resource:
        key = f"finding-{image['number']}-{finding['number']}"
        frame = f", frame {finding['frame']}" if finding["frame"] else ""
        told = f"Image {image['number']}{frame}, finding {finding['number']}: {finding['review']}."
        made: Resource = {
            **self._observation(key, told, image, selection),
            "code": {"text": "Breast lesion outlined by software"},
            "component": list(components(finding)),
        }
        if finding["review"] != "ai":
            made["note"].append(
                {"text": f"A reader's review, version {finding['version']}: {finding['review']}."}
            )
        return made

    def _observation(
        self, key: str, text: str, image: Mapping[str, Any], selection: Resource | None = None
    ) -> Resource:
        made: Resource = {
            **self._head("Observation", key, text),
            "status": "preliminary",
            "category": [
                coded("http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging")
            ],
            "issued": self.issued,
            "device": {"reference": f"urn:uuid:{self._device}"},
            "note": [{"text": RESEARCH_USE}],
        }
        identity = self._ids[image["number"]]
        if selection is not None:
            made["derivedFrom"] = [reference(selection)]
        elif identity is not None:
            made["derivedFrom"] = [study(identity.study)]
        return made

    def _selection(self, image: Mapping[str, Any], finding: Mapping[str, Any]) -> Resource | None:
        """The outline on the picture, in R5 and of a DICOM image."""
        identity = self._ids[image["number"]]
        if identity is None or not self._r5:
            return None
        key = f"selection-{image['number']}-{finding['number']}"
        contour = finding["contour"][:: max(1, len(finding["contour"]) // _POINTS)]
        closed = [*contour, contour[0]]
        # DICOM and FHIR count from the corner of the first pixel (PS3.3 C.18.6.1.2), contours from its centre.
        coordinates = [round(value + 0.5, 2) for point in closed for value in point]
        instance: Resource = {
            "uid": identity.instance,
            "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{identity.sop_class}"},
            "imageRegion2D": [{"regionType": "polyline", "coordinate": coordinates}],
        }
        if finding["frame"]:
            instance["subset"] = [str(finding["frame"])]
        return {
            **self._head("ImagingSelection", key, f"Outline of finding {finding['number']}."),
            "status": "available",
            "code": {"text": "Outline of a lesion"},
            "derivedFrom": [study(identity.study)],
            "studyUid": identity.study,
            "seriesUid": identity.series,
            "instance": [instance],
        }

    def _head(self, kind: str, key: str, text: str) -> Resource:
        div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(text)} {RESEARCH_USE}</p></div>'
        return {
            "resourceType": kind,
            "id": self._id(key),
            "text": {"status": "generated", "div": div},
        }

    def _id(self, key: str, of: str = "") -> str:
        return str(uuid.uuid5(_SPACE, f"{of or self._exam['id']}:{key}"))

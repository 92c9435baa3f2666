"""Findings as a structured report: TID 1500 with one TID 1501 group per finding (DICOM PS3.16).

Coordinates stand under the measurements, which is where viewers look for them (TID 1410 groups validate as well and
are drawn by none). The document is complete and unverified; it never holds a BI-RADS category.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.measurements import finding_groups
from senoscope.clinic.dicom.narrative import Told, container, evaluations
from senoscope.clinic.dicom.skeleton import Making

if TYPE_CHECKING:
    from highdicom.sr import ContentSequence

_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")  # CID 100 knows none of the breast


def make_report(making: Making, told: Sequence[Told], contents: list[str], key: int = 0) -> Dataset:
    """The structured report of an image or of every frame of a cine; ``key`` is the cine's key frame."""
    import highdicom as hd

    made = hd.sr.ComprehensiveSR(
        evidence=[making.skeleton],
        content=_content(making, told, key),
        is_complete=True,
        is_final=False,
        is_verified=False,
        **making.identifiers("SR", contents),
    )
    made.CompletionFlag, made.VerificationFlag, made.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    making.finish(made, "Computed findings")
    made.CompletionFlagDescription = "Computed, not seen by a physician; research use only"
    return made


def _content(making: Making, told: Sequence[Told], key: int) -> Dataset:
    import highdicom as hd

    root = hd.sr.ContainerContentItem(name=codes.DCM.ImagingMeasurementReport, template_id="1500")
    root.ContentSequence = hd.sr.ContentSequence()
    root.ContentSequence.extend(
        hd.sr.LanguageOfContentItemAndDescendants(
            hd.sr.CodedConcept("en-US", "RFC5646", "English (United States)")
        )
    )
    root.ContentSequence.extend(_observer(making))
    root.ContentSequence.append(
        hd.sr.CodeContentItem(
            name=codes.DCM.ProcedureReported,
            value=_PROCEDURE,
            relationship_type=hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
    )
    if (
        making.header.get("Modality") == "US"
    ):  # optional; of radiographs it wants what many files do not state
        root.ContentSequence.extend(hd.sr.ImageLibrary([making.skeleton]))
    groups = [group for one in told for group in finding_groups(making, one.report, one.frame)]
    if groups:
        measured = container(codes.DCM.ImagingMeasurements)
        for group in groups:
            measured.ContentSequence.extend(group)
        root.ContentSequence.append(measured)
    root.ContentSequence.append(evaluations(making, told, key))
    return root


def _observer(making: Making) -> ContentSequence:
    import highdicom as hd

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=identity.device_uid(making.bundle),
        name=making.bundle.title,
        manufacturer_name=identity.MANUFACTURER,
        model_name=making.bundle.card.name,
        serial_number=making.bundle.weights_hash,
    )
    context = hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    return hd.sr.ObservationContext(observer_device_context=context)

"""What every object shares: the source as highdicom needs it, and the last touches on what highdicom built.

highdicom never sees the patient: it is given a skeleton of the source (its messages may quote what it is given), and
patient and study are copied into the finished object. Also: dates from the source, research use, Unicode.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DA, TM

from senoscope import __version__
from senoscope._files import atomic_path
from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.source import PATIENT, STUDY, Source
from senoscope.errors import MissingExtraError
from senoscope.inference.bundle import Bundle
from senoscope.schema import RESEARCH_USE

if TYPE_CHECKING:
    from highdicom import ContributingEquipment

# As public code for the AI Results profile of IHE writes it (not held against the text); CID 7005 has no such purpose.
PROCESSING_ALGORITHM = Code("Newcode1", "99IHE", "Processing Algorithm")
_RANDOM = "1.2.826.0.1.3680043.10.511.3."  # highdicom's root for generated UIDs
_REQUIRED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime")
_EMPTY = (
    *_REQUIRED,
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)  # type 2: present, perhaps empty


@dataclass(frozen=True)
class Making:
    """One run over one image: where it comes from and which model speaks."""

    source: Source
    bundle: Bundle

    @property
    def header(self) -> Dataset:
        """The source's attributes."""
        return self.source.header

    @cached_property
    def skeleton(self) -> Dataset:
        """The source without patient and study description, as a single image, for highdicom's constructors."""
        bare = Dataset()
        for element in self.header:
            if element.keyword not in (*PATIENT, *STUDY, "NumberOfFrames", "FrameOfReferenceUID"):
                bare.add(copy.deepcopy(element))  # pydicom assigns into elements, shared or not
        for keyword in _EMPTY:
            setattr(bare, keyword, None)
        bare.StudyInstanceUID = self.header.StudyInstanceUID
        return bare

    @property
    def equipment(self) -> ContributingEquipment:
        """The algorithm, with the device UID of its weights, for Contributing Equipment Sequence."""
        import highdicom as hd

        card = self.bundle.card
        item = hd.ContributingEquipment(
            manufacturer=identity.MANUFACTURER,
            purpose_of_reference=codes.DCM.ProcessingEquipment,
            manufacturer_model_name=card.name[:64],
            software_versions=[f"senoscope {__version__}", f"bundle {card.version}"[:64]],
            device_serial_number=self.bundle.weights_hash,
            contribution_description=f"{card.system[:64]}; weights SHA-256 {self.bundle.weights_hash}. {RESEARCH_USE}",
        )
        # highdicom knows CID 7005 only; the profile's purpose takes its place here.
        item.PurposeOfReferenceCodeSequence = [hd.sr.CodedConcept.from_code(PROCESSING_ALGORITHM)]
        item.DeviceUID = identity.device_uid(self.bundle)
        return item

    def identifiers(self, kind: str, contents: list[str], frame: int = 0) -> dict[str, Any]:
        """Series and instance UIDs and numbers, and the maker, as highdicom's constructors take them."""
        return {
            "series_instance_uid": identity.series_uid(self.header, self.bundle, kind),
            "series_number": identity.series_number(self.header, self.bundle, kind),
            "sop_instance_uid": identity.instance_uid(self.header, self.bundle, kind, frame, contents),
            "instance_number": identity.instance_number(self.header, frame),
            "manufacturer": identity.MANUFACTURER,
            "contributing_equipment": [self.equipment],
        }

    @property
    def algorithm_version(self) -> str:
        """Bundle, program and weights in at most 64 characters."""
        version = f"{self.bundle.card.version}; senoscope {__version__}; {self.bundle.weights_hash[:12]}"
        return version[-64:]

    def finish(self, made: Dataset, description: str) -> None:
        """Put the patient back, the source's dates in, and research use where every viewer shows it."""
        for keyword in (*PATIENT, *STUDY):
            if keyword in self.header:
                made[keyword] = copy.deepcopy(self.header[keyword])
            elif keyword in _EMPTY:
                setattr(made, keyword, "")
            elif keyword in made:
                delattr(made, keyword)
        made.SpecificCharacterSet = "ISO_IR 192"
        when = identity.moment(self.header)
        for name in ("InstanceCreation", "Content", "Series"):
            if name == "Series" or f"{name}Date" in made:
                setattr(made, f"{name}Date", DA(when.date()))
                setattr(made, f"{name}Time", TM(when.time()))
        made.SeriesDescription = f"{description} - RESEARCH USE ONLY"[:64]
        card = self.bundle.card
        made.ManufacturerModelName = card.name[:64]
        made.SoftwareVersions = [f"senoscope {__version__}", f"bundle {card.version}"[:64]]
        made.DeviceSerialNumber = self.bundle.weights_hash[:64]
        for item in made.get("ContributingEquipmentSequence") or ():
            if "ContributionDateTime" in item:
                del item.ContributionDateTime  # highdicom's clock
        _settle_uids(made)


def _settle_uids(made: Dataset) -> None:
    """Replace the UIDs that highdicom drew at random (dimension organisation) by ones of this object's own."""
    for element in made.iterall():
        if element.VR == "UI" and str(element.value).startswith(_RANDOM):
            element.value = identity.uid("within", made.SOPInstanceUID, element.keyword)


def need_highdicom() -> None:
    """Raise ``MissingExtraError`` without highdicom; keep its log from naming UIDs otherwise."""
    try:
        import highdicom  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError(
            "writing DICOM objects needs the Python package 'highdicom', which is not installed",
            fix="install Senoscope with its clinic extra: pip install 'senoscope[clinic]'",
        ) from None
    logging.getLogger("highdicom").setLevel(logging.ERROR)


def save(made: Dataset, path: Path) -> Path:
    """Write an object whole or not at all."""
    with atomic_path(path) as temporary:
        made.save_as(temporary, enforce_file_format=True)
    return path

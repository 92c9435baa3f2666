"""What is taken over from a source image: who, which study, which image. Checked before anything is built on it.

Only the attributes named here are read. Text is decoded to Unicode once; values without meaning are left empty
rather than passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.valuerep import PersonName

from senoscope.errors import ImageError
from senoscope.imaging.dicom import QUIET
from senoscope.imaging.dicom_checks import check_kind, file_syntax
from senoscope.imaging.raw import Limits

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName",
    "StudyDescription", "PatientAge", "PatientSize", "PatientWeight", "TimezoneOffsetFromUTC",
)  # fmt: skip
IMAGE = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDate",
    "SeriesTime", "Modality", "InstanceNumber", "NumberOfFrames", "Rows", "Columns", "Laterality",
    "ImageLaterality", "PatientOrientation", "BodyPartExamined", "AcquisitionDate", "AcquisitionTime",
    "ContentDate", "ContentTime", "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber",
    "SoftwareVersions", "FrameOfReferenceUID",
)  # fmt: skip
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_SHAPES = {
    "DA": re.compile(r"\d{8}"),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
    "AS": re.compile(r"\d{3}[DWMY]"),
    "UI": _UID,
}
_LONGEST = {"LO": 64, "SH": 16, "CS": 16, "PN": 64 * 3 + 2}


@dataclass(frozen=True, slots=True)
class Source:
    """The header of one image: ``header`` holds only the attributes listed above, decoded and checked."""

    header: Dataset

    @property
    def frames(self) -> int:
        """How many frames the image says it has; 1 for a still."""
        return int(self.header.get("NumberOfFrames") or 1)

    @property
    def is_multiframe(self) -> bool:
        """Whether references to it must name a frame."""
        return "NumberOfFrames" in self.header and self.frames > 1

    @property
    def laterality(self) -> str | None:
        """``L``, ``R`` or ``B``, from the image, else its series; ``None`` if neither says."""
        for name in ("ImageLaterality", "Laterality"):
            if self.header.get(name) in ("L", "R", "B"):
                return str(self.header.get(name))
        return None


def read_source(source: Path | Dataset | Source, name: str | None = None) -> Source:
    """The checked header of a file or of a dataset already read, which stays as it is.

    ``name`` is what errors call it. Raises ``ImageError`` if it is no DICOM image of a kind that is read, lacks a
    UID or has an illegal one; messages never quote values.
    """
    if isinstance(source, Source):
        return source
    name = name or (source.name if isinstance(source, Path) else "the dataset")
    with QUIET, disable_value_validation():
        try:
            full = _read(source, name) if isinstance(source, Path) else source
            header = _chosen(full, name)
        except ImageError:
            raise
        except OSError:
            raise
        except Exception:  # hostile bytes make parsers raise anything, quoting anything
            raise _unusable(name, "its header cannot be read") from None
    return Source(header)


def _read(path: Path, name: str) -> Dataset:
    with path.open("rb") as stream:
        file_syntax(stream, name, Limits())
        return dcmread(stream, stop_before_pixels=True, specific_tags=[*PATIENT, *STUDY, *IMAGE])


def _chosen(full: Dataset, name: str) -> Dataset:
    if "SOPClassUID" in full or "file_meta" in vars(full):
        check_kind(full, name)
    kept = Dataset()
    for keyword in (*PATIENT, *STUDY, *IMAGE):
        value = full.get(keyword)
        if value is not None:
            value = _clean(keyword, value)
            if value is not None:
                setattr(kept, keyword, value)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        if keyword not in kept:
            raise _unusable(name, f"its {keyword} is missing or illegal")
    if "Rows" not in kept or "Columns" not in kept:
        raise _unusable(name, "it does not say how large its picture is")
    kept.SpecificCharacterSet = "ISO_IR 192"
    return kept


def _clean(keyword: str, value: object) -> object | None:
    """A value fit to be written again, or ``None``: empty, of the wrong form, or with control characters."""
    kind = dictionary_VR(keyword)
    if keyword == "SpecificCharacterSet" or value == "":
        return None
    if kind in ("US", "IS", "DS"):
        return value
    parts = [str(part) for part in (value if _is_several(value) else [value])]  # type: ignore[attr-defined]
    parts = ["".join(c for c in part if c.isprintable()).strip() for part in parts]
    shape = _SHAPES.get(kind)
    if shape and not all(shape.fullmatch(part) and len(part) <= 64 for part in parts):
        return None
    if keyword == "PatientSex" and parts[0] not in ("M", "F", "O"):
        return None
    parts = [part[: _LONGEST.get(kind, 1024)] for part in parts]
    return PersonName(parts[0]) if kind == "PN" else parts if len(parts) > 1 else parts[0]


def _is_several(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, PersonName))


def _unusable(name: str, why: str) -> ImageError:
    return ImageError(
        f"{name} cannot be answered with DICOM objects: {why}",
        expected="an ultrasound or mammography image with its study, series and instance UIDs",
        fix="fetch the image again from the archive or device",
    )

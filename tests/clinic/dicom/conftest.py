"""Exams as DICOM files, and their analyses by the fake bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from senoscope.inference.analyzer import Analyzer

pytest.importorskip("highdicom", reason="needs the [clinic] extra")

STILL, CINE = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.fixture(scope="session")
def analyzer(fake_folder: Path) -> Analyzer:
    return Analyzer(fake_folder, threads=1)


@pytest.fixture(scope="session")
def exam(fake: ModuleType) -> NDArray[np.uint8]:
    """Two dark lesions, uint8 256×256."""
    return (fake.draw_exam((120, 130, 40, 0.02), (60, 60, 20, 0.2)) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def loop(fake: ModuleType) -> NDArray[np.uint8]:
    """Four frames, uint8 4×256×256: a small lesion, a large one, a middle one, none."""
    lesions = [((120, 130, 20, 0.02),), ((120, 130, 40, 0.02),), ((120, 130, 30, 0.02),), ()]
    return np.stack(
        [(fake.draw_exam(*disc, seed=i) * 255).astype(np.uint8) for i, disc in enumerate(lesions)]
    )


def region(**changes: object) -> Dataset:
    """A B-mode region of the whole 256×256 picture, 0.1 mm down and 0.2 mm across."""
    item = Dataset()
    values = {
        "RegionSpatialFormat": 1, "RegionDataType": 1, "RegionFlags": 0,
        "RegionLocationMinX0": 0, "RegionLocationMinY0": 0, "RegionLocationMaxX1": 255, "RegionLocationMaxY1": 255,
        "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3, "PhysicalDeltaX": 0.02, "PhysicalDeltaY": 0.01,
    }  # fmt: skip
    for name, value in {**values, **changes}.items():
        setattr(item, name, value)
    return item


def build(pixels: NDArray[np.generic], **changes: object) -> Dataset:
    """An ultrasound still (H×W) or loop (N×H×W) as a dataset; keyword arguments replace or (``None``) drop."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = STILL if pixels.ndim == 2 else CINE
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1.99.1", "1.2.826.0.1.99.1.1"
    dataset.SOPInstanceUID = "1.2.826.0.1.99.1.1.1"
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "SECRET-17"
    dataset.PatientBirthDate, dataset.PatientSex = "19700203", "F"
    dataset.StudyDate, dataset.StudyTime = "20240502", "101112.5"
    dataset.ContentDate, dataset.ContentTime = "20240502", "101500"
    dataset.AccessionNumber, dataset.StudyID, dataset.ReferringPhysicianName = "A1", "S1", "Who^Dr"
    dataset.Modality, dataset.Manufacturer, dataset.InstanceNumber = "US", "ACME", 3
    dataset.ImageLaterality, dataset.PatientOrientation = "L", ""
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = pixels.dtype.itemsize * 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    if pixels.ndim == 3:
        dataset.NumberOfFrames, dataset.FrameTime = len(pixels), 40
        dataset.FrameIncrementPointer = 0x00181063
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", STILL)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    return dataset


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Save ``build(pixels, **changes)`` under a name and return its path."""

    def write(pixels: NDArray[np.generic], name: str = "in/image.dcm", **changes: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        build(pixels, **changes).save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture(scope="session")
def spaced() -> Dataset:
    return region()

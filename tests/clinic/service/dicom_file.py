"""A made-up ultrasound still, and a loop."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

KIND, LOOP = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"


def still(pixels: NDArray[np.uint8], **values: object) -> Dataset:
    """Grey 8-bit pixels as an ultrasound image with 0.1 mm pixels; ``values`` are more attributes."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = KIND
    instance = generate_uid(entropy_srcs=["instance", str(values)])
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = instance
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
    data.Modality, data.StudyDate, data.StudyTime = "US", "20260102", "101112"
    data.PatientName, data.PatientID, data.StudyID = "Nobody", "0", "1"
    data.SeriesNumber, data.InstanceNumber = 1, 1
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = pixels.shape[1] - 1, pixels.shape[0] - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.01  # cm
    data.SequenceOfUltrasoundRegions = Sequence([region])
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.SamplesPerPixel, data.PixelRepresentation = 7, 1, 0
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = pixels.tobytes()
    for name, value in values.items():
        setattr(data, name, value)
    return data


def loop(frames: NDArray[np.uint8], **values: object) -> Dataset:
    """Grey 8-bit frames N×H×W, 25 a second, as an ultrasound loop."""
    more = {"NumberOfFrames": len(frames), "FrameTime": 40, "FrameIncrementPointer": 0x00181063}
    data = still(frames[0], SOPClassUID=LOOP, PixelData=frames.tobytes(), **more, **values)
    data.file_meta.MediaStorageSOPClassUID = LOOP
    return data


def file_bytes(data: Dataset) -> bytes:
    """The data set as a file."""
    stream = BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()

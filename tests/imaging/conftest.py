"""Builders of small files, sound and unsound."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
PATIENT = "DOE^JANE^SECRET"


@pytest.fixture
def textured() -> NDArray[np.uint8]:
    """A 48×64 grey picture whose pixels all matter: no flat parts, asymmetric."""
    rng = np.random.default_rng(7)
    ramp = np.add.outer(np.arange(48) * 2, np.arange(64))
    return (ramp + rng.integers(0, 40, (48, 64))).astype(np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save an array (or write bytes) under a name and return its path."""

    def write(name: str, content: NDArray[np.generic] | Image.Image | bytes, **options: object) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
            picture.save(path, **options)
        return path

    return write


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """An array as the bytes of a picture file."""

    def to_bytes(content: NDArray[np.generic] | Image.Image, kind: str, **options: object) -> bytes:
        stream = BytesIO()
        picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
        picture.save(stream, kind, **options)
        return stream.getvalue()

    return to_bytes


@pytest.fixture
def png() -> Callable[..., bytes]:
    """A PNG written chunk by chunk: header numbers and pixel stream need not agree."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    def build(
        width: int, height: int, stream: bytes, bits: int = 8, colour: int = 0, extra: bytes = b""
    ) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
        extras = chunk(extra[:4], extra[4:]) if extra else b""
        parts = (chunk(b"IHDR", header), extras, chunk(b"IDAT", stream), chunk(b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

    return build


@pytest.fixture
def dicom() -> Callable[..., bytes]:
    """A small ultrasound still as DICOM bytes; keyword arguments replace or (with ``None``) drop attributes."""

    def build(
        pixels: NDArray[np.generic] | bytes | None = None,
        syntax: str = ExplicitVRLittleEndian,
        **changes: object,
    ) -> bytes:
        dataset = Dataset()
        dataset.SOPClassUID = ULTRASOUND
        dataset.SOPInstanceUID = "1.2.3.4"
        dataset.PatientName = PATIENT
        dataset.PatientID = PATIENT
        dataset.Modality = "US"
        if pixels is None:
            pixels = (np.arange(48 * 64).reshape(48, 64) % 251).astype(np.uint8)
        if isinstance(pixels, np.ndarray):
            dataset.Rows, dataset.Columns = pixels.shape[:2]
            dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
            if pixels.ndim == 3:
                dataset.PlanarConfiguration = 0
            dataset.BitsAllocated = pixels.dtype.itemsize * 8
            dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
            content = pixels.tobytes()
        else:
            dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.PixelRepresentation = 1, 8, 0
            content = pixels
        dataset.BitsStored = dataset.BitsAllocated
        dataset.PhotometricInterpretation = "MONOCHROME2" if dataset.SamplesPerPixel == 1 else "RGB"
        for name, value in changes.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        if "HighBit" not in changes:
            dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelData = content + b"\0" * (len(content) % 2)
        dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", ULTRASOUND)
        dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            dataset["PixelData"].is_undefined_length = True
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return build

"""12-bit JPEG Extended, against DCMTK's decoder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from senoscope.errors import ImageError
from senoscope.imaging import read_image, to_gray

pytest.importorskip("gdcm", reason="needs the [clinic] extra")
needs_dcmtk = pytest.mark.skipif(not shutil.which("dcmcjpeg"), reason="DCMTK is not installed")


def decoded_by_dcmtk(path: Path, out: Path) -> np.ndarray:
    subprocess.run(["dcmdjpeg", path, out], check=True, capture_output=True)
    return dcmread(out).pixel_array


def test_pixels_of_a_file_that_everybody_decodes():
    """Two samples as DCMTK 3.6.7 decodes them."""
    path = Path(get_testdata_file("JPGExtended.dcm", download=False))
    raw = read_image(path)
    assert raw.pixels.shape == (1024, 256)
    samples = dcmread(path).pixel_array
    assert (samples[420, 140], samples[230, 120]) == (244, 95)
    assert to_gray(raw)[420, 140] == pytest.approx(244 / 4095)


def test_a_stream_that_is_damaged_or_of_another_precision_is_refused(tmp_path):
    dataset = dcmread(get_testdata_file("JPGExtended.dcm", download=False))
    for name, change in {
        "cut": lambda d: d[: len(d) // 2],
        "void": lambda d: b"\xff\xd8" + bytes(200),
    }.items():
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        damaged = dcmread(dataset.filename)
        damaged.PixelData = encapsulate([change(frame)])
        damaged.save_as(tmp_path / name)
        with pytest.raises(ImageError):
            read_image(tmp_path / name)


@needs_dcmtk
@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_published_files_give_what_dcmtk_gives(name, tmp_path):
    path = Path(get_testdata_file(name, download=False))
    plain = tmp_path / "plain.dcm"
    decoded_by_dcmtk(path, plain)
    assert np.array_equal(to_gray(read_image(path)), to_gray(read_image(plain)))


@needs_dcmtk
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("quality", [50, 100])
def test_encoded_here_it_gives_what_dcmtk_gives(dicom, tmp_path, quality, signed):
    rows, columns = np.mgrid[0:48, 0:64]
    pixels = ((np.sin(columns / 9) + np.cos(rows / 13) + 2) / 4 * 4095).astype(np.uint16)
    if signed:
        pixels = (pixels.astype(np.int16) - 2048).view(np.uint16)
    source, packed = tmp_path / "source.dcm", tmp_path / "packed.dcm"
    source.write_bytes(dicom(pixels, BitsStored=12, PixelRepresentation=signed))
    command = ["dcmcjpeg", "+ee", "+bt", "+q", str(quality), source, packed]
    subprocess.run(command, check=True, capture_output=True)
    reference = decoded_by_dcmtk(packed, tmp_path / "plain.dcm")
    read_image(packed)
    assert dcmread(packed).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.51"
    assert np.array_equal(dcmread(packed).pixel_array, reference)
    assert np.array_equal(to_gray(read_image(packed)), to_gray(read_image(tmp_path / "plain.dcm")))

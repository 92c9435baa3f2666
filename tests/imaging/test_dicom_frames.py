"""Cine loops, more compressions, and what else a header says: against pydicom's own decoders and by hand."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from senoscope.errors import ImageError
from senoscope.imaging import Limits, decode_image, read_frames, read_image
from senoscope.imaging.dicom_frames import open_loop
from senoscope.imaging.dicom_view import view
from senoscope.schema import Box

CINE = "1.2.840.10008.5.1.4.1.1.3.1"


@pytest.fixture
def loop() -> np.ndarray:
    """Five frames of 48×64 with nothing in common."""
    return np.random.default_rng(3).integers(0, 256, (5, 48, 64)).astype(np.uint8)


@pytest.fixture
def cine(dicom, tmp_path):
    """A loop as a file."""

    def build(frames: np.ndarray, syntax: str | None = None, **changes: object) -> Path:
        values = {
            "Rows": frames.shape[1], "Columns": frames.shape[2], "NumberOfFrames": len(frames), "SOPClassUID": CINE,
        }  # fmt: skip
        data = dicom(frames.tobytes(), **({"syntax": syntax} if syntax else {}), **{**values, **changes})
        path = tmp_path / "loop.dcm"
        path.write_bytes(data)
        return path

    return build


def frames_of(path: Path, **limits: int) -> np.ndarray:
    return np.stack([raw.pixels for raw in read_frames(path, limits=Limits(**limits))])


@pytest.mark.parametrize(
    "syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_uncompressed_frames(syntax, cine, loop):
    assert np.array_equal(frames_of(cine(loop, syntax)), loop)


@pytest.mark.parametrize("odd", [(3, 5, 7), (2, 33, 3)])
def test_frames_of_an_odd_number_of_bytes(odd, cine):
    frames = np.random.default_rng(0).integers(0, 256, odd).astype(np.uint8)
    assert np.array_equal(frames_of(cine(frames)), frames)


def test_run_length_frames_with_and_without_offset_table(cine, loop):
    path = cine(loop)
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    assert np.array_equal(frames_of(path), loop)


def test_jpeg_frames(cine, textured):
    pictures = [textured, textured[::-1], 255 - textured]
    streams = []
    for picture in pictures:
        stream = BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(stream, "JPEG", quality=98)
        streams.append(stream.getvalue())
    for has_table in (True, False):
        path = cine(np.zeros((3, 48, 64), np.uint8))
        dataset = dcmread(path)
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.PixelData = encapsulate(streams, has_bot=has_table)
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
        shown = frames_of(path).astype(int)
        assert np.abs(shown - np.stack(pictures)).mean() < 2
    cut = encapsulate([streams[0], streams[1][:300], streams[2]])
    dataset.PixelData = cut
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    reader = read_frames(path)
    next(reader)  # the first frame is whole
    with pytest.raises(ImageError, match="ends early"):
        next(reader)


@pytest.mark.parametrize("has_table", [True, False])
def test_frames_in_any_order_and_a_damaged_one_alone(has_table, cine, textured):
    """Also where a frame's picture is stored in several pieces."""
    pictures = [textured, textured[::-1], 255 - textured]
    streams = []
    for picture in pictures:
        stream = BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(stream, "JPEG", quality=98)
        streams.append(stream.getvalue())
    streams[1] = streams[1][:300]
    path = cine(np.zeros((3, 48, 64), np.uint8))
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate(streams, fragments_per_frame=2 if has_table else 1, has_bot=has_table)
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    loop = open_loop(path, Limits(), "image 7")
    assert (loop.count, loop.in_memory) == (3, False)
    for index in (3, 1, 3):
        shown = loop.frame(index).pixels.astype(int)
        assert np.abs(shown - pictures[index - 1]).mean() < 2
    for index, why in ((2, "image 7 .*ends early"), (4, "promises 3 frames and holds 3"), (0, "holds 3")):
        with pytest.raises(ImageError, match=why):
            loop.frame(index)


def test_uncompressed_frames_in_any_order(cine, loop):
    for syntax in (None, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        found = open_loop(cine(loop, syntax), Limits())
        assert all(np.array_equal(found.frame(index).pixels, loop[index - 1]) for index in (4, 1, 5))


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ({}, None),
        ({"FrameTime": 40}, 25.0),
        ({"FrameTime": 40, "CineRate": 30}, 30.0),
        ({"CineRate": 30, "RecommendedDisplayFrameRate": 12}, 12.0),
        ({"FrameTimeVector": [0, 40, 60, 50, 50]}, 20.0),
        ({"FrameTime": 0}, None),
        ({"CineRate": 90_000}, None),
    ],
)
def test_frame_rate(said, rate, cine, loop):
    """PS3.3 C.7.6.5: milliseconds between frames, or frames a second; absurd ones do not count."""
    found = open_loop(cine(loop, **said), Limits()).rate
    assert found == (None if rate is None else pytest.approx(rate))


def test_a_real_loop_in_ybr():
    """A cardiac loop of a scanner in YBR_FULL_422 that pydicom brings along."""
    path = get_testdata_file("examples_ybr_color.dcm", download=False)
    reference = dcmread(path).pixel_array
    shown = [raw.pixels for raw in read_frames(Path(path))]
    assert len(shown) == len(reference) == 30
    assert np.abs(shown[7].astype(int) - reference[7]).max() == 0


def test_other_pictures_are_one_frame(save, textured, dicom):
    assert [raw.shape for raw in read_frames(save("a.png", textured))] == [(48, 64)]
    assert [raw.shape for raw in read_frames(save("a.dcm", dicom(textured)))] == [(48, 64)]
    with pytest.raises(ImageError, match="empty"):
        list(read_frames(save("b.dcm", b"")))


def test_a_still_is_read_alike_both_ways(save, dicom, textured):
    path = save("a.dcm", dicom(textured, WindowCenter=100, WindowWidth=90, PixelSpacing=[0.2, 0.1]))
    (one,), two = list(read_frames(path)), read_image(path)
    assert np.array_equal(one.pixels, two.pixels)
    assert (one.spacing, one.notes, one.modality) == (two.spacing, two.notes, two.modality)


@pytest.mark.parametrize("frames", [2_000_000_000, -1, 0, 4001])
def test_18_number_of_frames(frames, cine, loop):
    with pytest.raises(ImageError, match=str(frames)):
        list(read_frames(cine(loop, NumberOfFrames=frames)))


def test_16_18_more_frames_promised_than_held(cine, loop):
    with pytest.raises(ImageError, match="shorter"):
        list(read_frames(cine(loop, NumberOfFrames=6)))
    path = cine(loop)
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.NumberOfFrames = 6
    dataset.save_as(path)
    with pytest.raises(ImageError, match=r"holds 5|cannot be read"):
        list(read_frames(path))


def test_17_19_20_limits_hold_for_loops_as_well(cine, loop, dicom, save):
    with pytest.raises(ImageError, match="pixels"):
        list(read_frames(cine(loop, Rows=65535, Columns=65535)))
    with pytest.raises(ImageError):
        list(read_frames(cine(loop, DeflatedExplicitVRLittleEndian), limits=Limits(max_bytes=1000)))
    data = cine(loop).read_bytes()
    at = data.index(struct.pack("<HH", 0x7FE0, 0x0010))
    with pytest.raises(ImageError):
        list(read_frames(save("c.dcm", data[:at])))
    with pytest.raises(ImageError):
        list(read_frames(save("d.dcm", data[:at] + b"\xe0\x7f")))


def test_nothing_of_the_patient_in_an_error(cine, loop, recwarn, caplog):
    whole, told, read = cine(loop).read_bytes(), [], 0
    path = Path(cine(loop))
    rng = np.random.default_rng(4)
    for _ in range(120):
        data = bytearray(whole)
        for position in rng.integers(132, 900, 3):
            data[position] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        try:
            read += len(list(read_frames(path, limits=Limits(max_pixels=10**6))))
        except ImageError as error:
            told.append(str(error))
    assert told
    assert read
    told += [str(warning.message) for warning in recwarn.list] + caplog.messages
    assert not [text for text in told if "SECRET" in text]


@pytest.mark.parametrize(
    ("name", "plugin"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", "PIL"),
        ("JPEG-LL.dcm", "gdcm"),
        ("SC_rgb_jpeg_lossy_gdcm.dcm", "PIL"),
        ("MR_small_jpeg_ls_lossless.dcm", "jpeg_ls"),
        ("JPEGLSNearLossless_16.dcm", "jpeg_ls"),
        ("JPEG2000.dcm", "PIL"),
    ],
)
def test_compressions_of_other_toolkits(name, plugin):
    pytest.importorskip(plugin, reason="needs the [clinic] extra")
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("this pydicom does not bring the file along")
    dataset = dcmread(path)
    shown, stored = read_image(Path(path)).pixels, dataset.pixel_array
    assert shown.shape == stored.shape
    assert np.corrcoef(shown.ravel().astype(float), stored.ravel().astype(float))[0, 1] > 0.5


def test_jpeg_lossless_to_the_bit(wrapped_lossless, textured):
    raw = decode_image(wrapped_lossless, "study.dcm")
    assert np.array_equal(raw.pixels, textured)


@pytest.fixture
def wrapped_lossless(dicom, textured, tmp_path) -> bytes:
    """JPEG Lossless (process 14, first-order prediction) made by DCMTK or GDCM, whichever is there."""
    gdcm = pytest.importorskip("gdcm", reason="needs the [clinic] extra")
    (tmp_path / "plain.dcm").write_bytes(dicom(textured))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "plain.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    assert writer.Write()
    data = (tmp_path / "packed.dcm").read_bytes()
    assert b"1.2.840.10008.1.2.4.70" in data
    return data


def region(x0: int, y0: int, x1: int, y1: int, delta: float = 0.01, **changes: int) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = delta
    for name, value in changes.items():
        setattr(item, name, value)
    return item


def test_of_several_regions_the_large_b_mode_one(dicom):
    parts = [
        region(0, 0, 9, 9, 0.05),
        region(10, 5, 60, 45, 0.02),
        region(0, 10, 63, 47, 0.9, RegionSpatialFormat=3),
    ]
    raw = decode_image(dicom(SequenceOfUltrasoundRegions=Sequence(parts)), "a.dcm")
    assert raw.region == Box(10, 5, 51, 41)
    assert raw.spacing == pytest.approx((0.2, 0.2))


def test_of_a_split_screen_neither_half(dicom):
    halves = [region(0, 0, 30, 47), region(32, 0, 63, 47)]
    raw = decode_image(dicom(SequenceOfUltrasoundRegions=Sequence(halves)), "a.dcm")
    assert raw.region is None
    assert raw.spacing == pytest.approx((0.1, 0.1))


def test_mammograms_say_side_and_view(dicom):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = (
        "399368009",
        "SCT",
        "medio-lateral oblique",
    )
    kind = "1.2.840.10008.5.1.4.1.1.1.2"
    raw = decode_image(
        dicom(SOPClassUID=kind, Modality="MG", ImageLaterality="R", ViewCodeSequence=[code]), "a.dcm"
    )
    assert (raw.laterality, raw.view, raw.modality) == ("R", "MLO", "MG")
    raw = decode_image(dicom(SOPClassUID=kind, Laterality="L", ViewPosition="CC"), "a.dcm")
    assert (raw.laterality, raw.view) == ("L", "CC")
    raw = decode_image(dicom(SOPClassUID=kind, ImageLaterality="U", ViewPosition="SECRET"), "a.dcm")
    assert (raw.laterality, raw.view) == (None, None)
    old = Dataset()
    old.CodeValue, old.CodingSchemeDesignator = "R-10242", "SRT"
    header = Dataset()
    header.ViewCodeSequence = [old]
    assert view(header) == "CC"

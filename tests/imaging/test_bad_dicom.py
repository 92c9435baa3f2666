"""Rows 14 to 29 and 38 of the bad-input list: DICOM files that are not as they should be."""

from __future__ import annotations

import struct
import time
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from senoscope.errors import ImageError
from senoscope.imaging import Limits, decode_image, jpeg12, read_image
from senoscope.schema import Box


def refused(data: bytes, limits: Limits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_image(data, "study.dcm", limits=limits or Limits())
    error = caught.value
    assert "study.dcm" in error.found
    assert error.fix
    chain: BaseException | None = error
    while chain is not None:  # neither the message nor what it was raised from may carry the patient
        assert "SECRET" not in str(chain)
        chain = chain.__cause__
    return error


def jpeg_of(pixels: np.ndarray, **options: object) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.fixture
def wrapped(dicom):
    """A JPEG stream inside a DICOM file of 64×48."""

    def build(stream: bytes, syntax: str = JPEGBaseline8Bit, **changes: object) -> bytes:
        size = {"Rows": 48, "Columns": 64, **changes}
        return dicom(encapsulate([stream]), syntax, **size)

    return build


def test_14_without_the_dicm_mark_it_is_not_dicom(dicom):
    data = dicom()
    assert "no format" in refused(data[132:]).found
    assert "preamble" in refused(data[132:]).fix


@pytest.mark.parametrize("kept", [133, 150, 250, 400])
def test_15_cut_in_the_header(kept, dicom):
    refused(dicom()[:kept])


@pytest.mark.parametrize("lost", [2, 1000, 3000])
def test_16_cut_pixel_data(lost, dicom):
    refused(dicom()[:-lost])


@pytest.mark.parametrize("lost", [10, 400])
def test_16_cut_compressed_pixel_data(lost, wrapped, textured):
    refused(wrapped(jpeg_of(textured))[:-lost])


def test_16_embedded_jpeg_cut_then_closed(wrapped, textured):
    stream = jpeg_of(textured, quality=95)
    assert decode_image(wrapped(stream), "study.dcm").shape == (48, 64)
    assert "ends early" in refused(wrapped(stream[: len(stream) * 2 // 3] + b"\xff\xd9")).found
    assert "ends early" in refused(wrapped(stream[: len(stream) * 2 // 3])).found


@pytest.mark.parametrize(("rows", "columns"), [(0, 64), (48, 0), (65535, 65535), (65535, 48)])
def test_17_rows_and_columns(rows, columns, dicom):
    assert f"{columns}×{rows}" in refused(dicom(Rows=rows, Columns=columns)).found


@pytest.mark.parametrize("frames", [2_000_000_000, -1, 0, 2])
def test_18_number_of_frames(frames, dicom):
    start = time.process_time()
    error = refused(dicom(NumberOfFrames=frames))
    assert str(frames) in error.found
    assert time.process_time() - start < 1


def test_18_a_loop_is_refused_with_the_way_out(dicom):
    assert "single-frame" in refused(dicom(NumberOfFrames=30)).fix


def test_19_element_longer_than_the_file(dicom):
    data = dicom()
    at = data.index(struct.pack("<HH", 0x7FE0, 0x0010))
    refused(data[: at + 8] + struct.pack("<I", 0xFFFFFFF0) + data[at + 12 :])
    name = data.index(struct.pack("<HH", 0x0008, 0x0016))
    refused(data[:name] + struct.pack("<HH2sHI", 0x0008, 0x0005, b"UN", 0, 0xFFFFFFF0) + data[name:])


def test_20_deflated_bomb_is_stopped_at_the_limit(dicom):
    data = dicom(syntax=DeflatedExplicitVRLittleEndian)
    assert decode_image(data, "study.dcm").shape == (48, 64)
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = data[:start] + block * 1024 + zlib.compressobj(9, wbits=-15).flush()
    assert len(bomb) < 2_000_000
    began = time.process_time()
    assert "unpacks to more than 64 MB" in refused(bomb, Limits(max_bytes=64 * 1024**2)).found
    assert time.process_time() - began < 2
    refused(data[:-20])


def test_21_22_embedded_picture_of_another_size(wrapped, textured):
    big = jpeg_of(np.tile(textured, (3, 3)))
    assert "promises 64×48 pixels and embeds 192×144" in refused(wrapped(big)).found
    small = jpeg_of(textured[:20, :30])
    assert "embeds 30×20" in refused(wrapped(small)).found


def test_22_jpeg2000_of_another_size(wrapped, textured):
    def stream(pixels: np.ndarray) -> bytes:
        out = BytesIO()
        Image.fromarray(pixels).save(out, "JPEG2000", no_jp2=True)
        return out.getvalue()

    raw = decode_image(wrapped(stream(textured), JPEG2000Lossless), "study.dcm")
    assert np.array_equal(raw.pixels, textured)
    assert "embeds 30×20" in refused(wrapped(stream(textured[:20, :30]), JPEG2000Lossless)).found


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless, RLELossless])
def test_23_garbage_codestream(syntax, wrapped):
    garbage = np.random.default_rng(0).integers(0, 256, 600).astype(np.uint8).tobytes()
    refused(wrapped(garbage, syntax))


def test_23_run_lengths_that_unpack_to_more_than_promised(wrapped):
    segment = b"\x81\x55" * 200_000  # each pair is 128 bytes
    refused(wrapped(struct.pack("<16I", 1, 64, *[0] * 14) + segment, RLELossless))


def test_24_sequences_nested_20000_deep(dicom):
    data = dicom()
    opening = struct.pack("<HH2sHI", 0x0018, 0x6011, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    at = data.index(struct.pack("<HH", 0x0028, 0x0002))
    began = time.process_time()
    refused(data[:at] + opening * 20_000 + data[at:])
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "changes",
    [
        {"BitsStored": 16},
        {"BitsStored": 0, "HighBit": 0},
        {"BitsAllocated": 32, "BitsStored": 32},
        {"BitsAllocated": 1, "BitsStored": 1},
        {"BitsStored": 8, "HighBit": 3},
        {"SamplesPerPixel": 4},
    ],
)
def test_25_impossible_bits(changes, dicom):
    assert "bits" in refused(dicom(**changes)).found


@pytest.mark.parametrize("start", [b"MZ\x90\0", b"\x7fELF", b"#!/bin/sh\n", b"\xcf\xfa\xed\xfe"])
def test_27_executable_preamble(start, dicom):
    assert "program" in refused(start + dicom()[len(start) :]).found


def test_27_a_tiff_header_in_the_preamble_does_not_make_it_a_tiff(dicom):
    data = dicom()
    assert decode_image(b"II*\0\x08\0\0\0" + data[8:], "study.dcm").modality == "US"


def regions(*items: dict[str, object]) -> Sequence:
    built = []
    for changes in items:
        region = Dataset()
        values = {
            "RegionSpatialFormat": 1, "RegionDataType": 1, "RegionFlags": 0,
            "RegionLocationMinX0": 5, "RegionLocationMinY0": 4,
            "RegionLocationMaxX1": 60, "RegionLocationMaxY1": 43,
            "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3,
            "PhysicalDeltaX": 0.008, "PhysicalDeltaY": 0.01,
        }  # fmt: skip
        for name, value in {**values, **changes}.items():
            setattr(region, name, value)
        built.append(region)
    return Sequence(built)


def test_29_spacing_and_region_of_an_ultrasound_image(dicom):
    raw = decode_image(dicom(SequenceOfUltrasoundRegions=regions({})), "study.dcm")
    assert raw.spacing == pytest.approx((0.1, 0.08))  # 0.01 cm down, 0.008 cm across
    assert raw.region == Box(5, 4, 56, 40)


@pytest.mark.parametrize(
    "changes",
    [
        {"PhysicalDeltaX": 0.0},
        {"PhysicalDeltaY": -0.01},
        {"PhysicalDeltaX": float("nan")},
        {"PhysicalUnitsXDirection": 4},
        {"RegionSpatialFormat": 2},
    ],
)
def test_29_unclear_spacing_is_unknown(changes, dicom):
    raw = decode_image(dicom(SequenceOfUltrasoundRegions=regions(changes)), "study.dcm")
    assert raw.spacing is None


def test_29_two_regions(dicom):
    same = decode_image(dicom(SequenceOfUltrasoundRegions=regions({}, {})), "study.dcm")
    assert (same.spacing, same.region) == (pytest.approx((0.1, 0.08)), None)
    differing = regions({}, {"PhysicalDeltaX": 0.02})
    assert decode_image(dicom(SequenceOfUltrasoundRegions=differing), "study.dcm").spacing is None


def test_29_region_outside_the_picture_is_ignored(dicom):
    for changes in ({"RegionLocationMaxX1": 64}, {"RegionLocationMinX0": 61}):
        raw = decode_image(dicom(SequenceOfUltrasoundRegions=regions(changes)), "study.dcm")
        assert raw.region is None


@pytest.mark.parametrize(
    ("stated", "expected"),
    [([0.2, 0.1], (0.2, 0.1)), ([0, 0.1], None), ([-0.2, 0.1], None), (None, None), ([0.2], None)],
)
def test_29_pixel_spacing(stated, expected, dicom):
    data = dicom() if stated is None else dicom(PixelSpacing=stated)
    assert decode_image(data, "study.dcm").spacing == expected


def test_29_unreadable_spacing_does_not_lose_the_image(dicom):
    data = dicom(PixelSpacing=[0.25, 0.25]).replace(b"0.25\\0.25 ", b"much\\more ")
    raw = decode_image(data, "study.dcm")
    assert (raw.shape, raw.spacing) == ((48, 64), None)


def test_13_37_colour_flow_and_burnt_in_text_are_noted(dicom):
    flow = regions({}, {"RegionDataType": 2})
    raw = decode_image(dicom(SequenceOfUltrasoundRegions=flow, BurnedInAnnotation="YES"), "study.dcm")
    assert any("colour-flow" in note for note in raw.notes)
    assert any("burnt" in note for note in raw.notes)
    assert raw.region is not None


def test_38_other_kinds_of_object(dicom):
    report = refused(dicom(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33"))
    assert "Comprehensive SR" in report.found
    assert "Segmentation" in refused(dicom(SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")).found
    assert "unknown kind" in refused(dicom(SOPClassUID="1.2.3.SECRET")).found
    directory = get_testdata_file("DICOMDIR", download=False)
    with pytest.raises(ImageError, match="Media Storage Directory"):
        read_image(Path(directory))


@pytest.mark.parametrize("kind", ["6.1", "6", "7", "3.1", "1.2", "4"])
def test_38_kinds_that_are_read(kind, dicom):
    assert decode_image(dicom(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{kind}"), "s.dcm").shape == (48, 64)


def test_38_unsupported_compression(wrapped, monkeypatch):
    monkeypatch.setattr(
        type(get_decoder(JPEGLosslessSV1)), "is_available", False
    )  # as without the clinic extra
    error = refused(wrapped(b"\xff\xd8\xff\xc3" + bytes(100), JPEGLosslessSV1))
    assert "JPEG Lossless" in error.found
    assert "decompress" in error.fix
    assert "unknown" in refused(_with_syntax(wrapped(b"\xff\xd8"), "1.2.3.4.5")).found


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPGExtended.dcm"])
def test_38_twelve_bit_jpeg_says_how_to_go_on_without_the_clinic_extra(name, monkeypatch):
    def absent(*_: object) -> bytes:
        raise ImportError("gdcm")

    jpeg12.register()
    decoder = get_decoder(JPEGExtended12Bit)
    monkeypatch.setitem(decoder._available, "senoscope", absent)
    with pytest.raises(ImageError) as caught:
        read_image(Path(get_testdata_file(name, download=False)))
    assert "decompress" in caught.value.fix


def test_missing_pixel_data_and_wrong_colour_model(dicom):
    dataset = dcmread(BytesIO(dicom()))
    del dataset.PixelData
    stream = BytesIO()
    dataset.save_as(stream)
    assert "no pixel data" in refused(stream.getvalue()).found
    assert "kind" in refused(dicom(PhotometricInterpretation="CMYK")).found
    assert "kind" in refused(dicom(PhotometricInterpretation="RGB")).found


def test_the_patient_is_never_parsed(dicom, monkeypatch):
    """Attributes are asked for by name; a reader that took everything would meet the patient's."""
    import pydicom.filereader as reader

    seen: list[int] = []
    original = reader.RawDataElement

    def watch(tag, *rest):
        seen.append(int(tag))
        return original(tag, *rest)

    monkeypatch.setattr(reader, "RawDataElement", watch)
    decode_image(dicom(), "study.dcm")
    assert 0x00280010 in seen
    assert not {0x00100010, 0x00100020} & set(seen)


def test_random_damage_never_escapes_the_boundary_nor_is_quoted(dicom, wrapped, textured, recwarn, caplog):
    rng = np.random.default_rng(5)
    read, told = 0, []
    for whole in (dicom(), wrapped(jpeg_of(textured)), dicom(SequenceOfUltrasoundRegions=regions({}))):
        for _ in range(150):
            data = bytearray(whole)
            for position in rng.integers(132, min(len(data), 900), 3):
                data[position] = rng.integers(0, 256)
            try:
                decode_image(bytes(data), "fuzzed.dcm", limits=Limits(max_pixels=10**6))
                read += 1
            except ImageError as error:
                told.append(str(error))
    assert 0 < read < 450
    told += [str(warning.message) for warning in recwarn.list] + caplog.messages
    assert not [text for text in told if "SECRET" in text or "1.2.3.4" in text]


def _with_syntax(data: bytes, uid: str) -> bytes:
    old = JPEGBaseline8Bit.encode()
    return data.replace(old + b"\0" * (len(old) % 2), uid.encode().ljust(len(old) + len(old) % 2, b"\0"), 1)

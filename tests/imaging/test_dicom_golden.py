"""Row 28: DICOM brightness against values worked by hand from the standard's formulas (PS3.3 C.11)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from senoscope.errors import ImageError
from senoscope.imaging import decode_image, read_image, to_gray

ROW = np.array([[0, 64, 128, 255]], np.uint8)


def gray(data: bytes) -> list[list[float]]:
    return to_gray(decode_image(data, "x.dcm")).tolist()


def table(first: int, bits: int, entries: list[int], count: int | None = None) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count or len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    item.add_new("ModalityLUTType", "LO", "US")
    return Sequence([item])


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless])
def test_plain_ultrasound_is_passed_through_as_bytes(dicom, syntax):
    pixels = (np.arange(48 * 64).reshape(48, 64) % 251).astype(np.uint8)
    data = dicom(pixels)
    if syntax == RLELossless:
        dataset = dcmread(_stream(data))
        dataset.compress(RLELossless)
        data = _bytes(dataset)
    elif syntax == ImplicitVRLittleEndian:
        data = dicom(pixels, syntax)
    raw = decode_image(data, "x.dcm")
    assert raw.pixels.dtype == np.uint8
    assert np.array_equal(raw.pixels, pixels)
    assert (raw.modality, raw.spacing, raw.region, raw.notes) == ("US", None, None, ())


def test_28_monochrome1_is_inverted(dicom):
    raw = decode_image(dicom(ROW, PhotometricInterpretation="MONOCHROME1"), "x.dcm")
    assert raw.pixels.tolist() == [[255, 191, 127, 0]]
    assert raw.notes == ("stored with white as zero: inverted",)


def test_28_presentation_lut_inverse(dicom):
    assert gray(dicom(ROW, PresentationLUTShape="INVERSE")) == [pytest.approx([1, 191 / 255, 127 / 255, 0])]


def test_28_twelve_bits_fill_the_range_of_bits_stored(dicom):
    pixels = np.array([[0, 2048, 4095]], np.uint16)
    assert gray(dicom(pixels, BitsStored=12)) == [pytest.approx([0, 2048 / 4095, 1])]


def test_28_signed_pixels(dicom):
    pixels = np.array([[-2048, 0, 2047]], np.int16)
    assert gray(dicom(pixels, BitsStored=12)) == [pytest.approx([0, 2048 / 4095, 1])]


def test_28_linear_window_by_hand(dicom):
    # C.11.2.1.2.1 with centre 128, width 101: x ≤ 77.5 → 0; x > 177.5 → 1; else (x − 127.5)/100 + 0.5
    pixels = np.array([[0, 77, 78, 127, 128, 177, 178, 255]], np.uint8)
    expected = [0, 0, 0.005, 0.495, 0.505, 0.995, 1, 1]
    assert gray(dicom(pixels, WindowCenter=128, WindowWidth=101)) == [pytest.approx(expected, abs=1e-6)]


def test_28_first_of_several_windows(dicom):
    one = gray(dicom(ROW, WindowCenter=100, WindowWidth=50))
    assert gray(dicom(ROW, WindowCenter=[100, 9], WindowWidth=[50, 3])) == one


def test_28_width_one_is_a_threshold(dicom):
    pixels = np.array([[99, 100, 101]], np.uint8)
    assert gray(dicom(pixels, WindowCenter=100, WindowWidth=1)) == [[0, 1, 1]]


def test_28_linear_exact_and_sigmoid_by_hand(dicom):
    pixels = np.array([[100, 128, 178]], np.uint8)
    exact = dicom(pixels, WindowCenter=128, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert gray(exact) == [pytest.approx([0.22, 0.5, 1.0], abs=1e-6)]
    sigmoid = dicom(pixels, WindowCenter=128, WindowWidth=100, VOILUTFunction="SIGMOID")
    # 1 / (1 + exp(−4 (x − 128)/100)): x = 100 → 1/(1 + e^1.12); x = 178 → 1/(1 + e^−2)
    assert gray(sigmoid) == [pytest.approx([0.246011, 0.5, 0.880797], abs=1e-5)]


def test_28_rescale_then_window(dicom):
    # stored 0, 100, 200 → 2x − 100 = −100, 100, 300; window centre 100.5, width 401: (v − 100)/400 + 0.5
    pixels = np.array([[0, 100, 200]], np.uint8)
    data = dicom(pixels, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=100.5, WindowWidth=401)
    assert gray(data) == [pytest.approx([0, 0.5, 1], abs=1e-6)]


def test_28_negative_slope_keeps_high_values_bright(dicom):
    # stored x → −x; lowest possible −255, highest 0: brightness (255 − x)/255, so it turns with the slope
    assert gray(dicom(ROW, RescaleSlope=-1, RescaleIntercept=0)) == [
        pytest.approx([1, 191 / 255, 127 / 255, 0])
    ]
    windowed = dicom(ROW, RescaleSlope=-1, RescaleIntercept=0, WindowCenter=-127, WindowWidth=256)
    assert gray(windowed) == [pytest.approx([1, 191 / 255, 127 / 255, 0], abs=1e-6)]


def test_28_modality_table(dicom):
    # first mapped value 1, entries 10, 20, 40 of 8 bits: below the first → 10; past the last → 40
    pixels = np.array([[0, 1, 2, 3, 200]], np.uint8)
    data = dicom(pixels, ModalityLUTSequence=table(1, 8, [10, 20, 40]))
    assert gray(data) == [pytest.approx([10 / 255, 10 / 255, 20 / 255, 40 / 255, 40 / 255])]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_28_voi_table_from_twelve_bits_to_eight(dicom, syntax):
    # 4096 entries of 8 bits, the square of the input: an index kept in 8 bits would wrap around at 256
    entries = [round((value / 4095) ** 2 * 255) for value in range(4096)]
    pixels = np.array([[0, 255, 256, 2048, 4095]], np.uint16)
    data = dicom(pixels, syntax, BitsStored=12, VOILUTSequence=table(0, 8, entries))
    assert gray(data) == [pytest.approx([entries[v] / 255 for v in (0, 255, 256, 2048, 4095)])]


def test_28_voi_table_with_negative_first_value(dicom):
    # signed input, first mapped value −2, entries 0, 1000, 2000, 3000, 4095 of 12 bits
    pixels = np.array([[-100, -2, -1, 0, 2, 50]], np.int16)
    data = dicom(pixels, VOILUTSequence=table(-2, 12, [0, 1000, 2000, 3000, 4095]))
    assert gray(data) == [pytest.approx([0, 0, 1000 / 4095, 2000 / 4095, 1, 1])]


def test_28_agrees_with_pydicom_on_ordinary_files(dicom):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 4096, (20, 30)).astype(np.uint16)
    settings = {"BitsStored": 12, "RescaleSlope": 1.5, "RescaleIntercept": -40}
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        data = dicom(pixels, WindowCenter=3000, WindowWidth=2500, VOILUTFunction=function, **settings)
        dataset = dcmread(_stream(data))
        shown = apply_windowing(apply_modality_lut(pixels, dataset), dataset)
        low, high = -40.0, 4095 * 1.5 - 40
        assert np.allclose(gray(data), (shown - low) / (high - low), atol=1e-6)


def test_colour_rgb_and_ybr(dicom):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [10, 20, 30]]], np.uint8)
    raw = decode_image(dicom(colours), "x.dcm")
    assert np.array_equal(raw.pixels, colours)
    # PS3.3 C.7.6.3.1.2: Y = 0.299 R + 0.587 G + 0.114 B, and so on: red = (76, 85, 255), white = (255, 128, 128)
    ybr = np.array([[[76, 85, 255], [255, 128, 128]]], np.uint8)
    raw = decode_image(dicom(ybr, PhotometricInterpretation="YBR_FULL"), "x.dcm")
    assert np.abs(raw.pixels.astype(int) - [[[255, 0, 0], [255, 255, 255]]]).max() <= 2


def test_colour_by_plane(dicom):
    colours = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    data = dicom(
        np.ascontiguousarray(colours.transpose(2, 0, 1)).tobytes(),
        Rows=2, Columns=4, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=1,
    )  # fmt: skip
    assert np.array_equal(decode_image(data, "x.dcm").pixels, colours)


def palette(bits: int, red: list[int], first: int = 0) -> dict[str, object]:
    kind = "<u2" if bits == 16 else "u1"
    channels = {"Red": red, "Green": red[::-1], "Blue": [0] * len(red)}
    settings: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, values in channels.items():
        settings[f"{name}PaletteColorLookupTableDescriptor"] = [len(values), first, bits]
        settings[f"{name}PaletteColorLookupTableData"] = np.array(values, kind).tobytes()
    return settings


def test_26_palette_index_past_the_table_takes_the_last_entry(dicom):
    pixels = np.array([[0, 3, 4, 200]], np.uint8)
    raw = decode_image(dicom(pixels, **palette(8, [10, 20, 30, 40])), "x.dcm")
    assert raw.pixels.tolist() == [[[10, 40, 0], [40, 10, 0], [40, 10, 0], [40, 10, 0]]]
    wide = np.array([[0, 3, 258]], np.uint16)  # 258 would wrap around to 2 in eight bits
    raw = decode_image(dicom(wide, **palette(8, [10, 20, 30, 40])), "x.dcm")
    assert raw.pixels[0, :, 0].tolist() == [10, 40, 40]


def test_palette_of_sixteen_bits_that_uses_eight(dicom):
    raw = decode_image(dicom(np.array([[0, 1]], np.uint8), **palette(16, [0, 255])), "x.dcm")
    assert (raw.pixels.dtype, raw.pixels[0, 1].tolist()) == (np.uint8, [255, 0, 0])
    raw = decode_image(dicom(np.array([[0, 1]], np.uint8), **palette(16, [0, 65535])), "x.dcm")
    assert (raw.pixels.dtype, raw.pixels[0, 1].tolist()) == (np.uint16, [65535, 0, 0])


def test_palette_cut_short_or_absent(dicom):
    settings = palette(8, [1, 2, 3, 4])
    settings["RedPaletteColorLookupTableData"] = b"\1\2"
    for changes in (settings, {"PhotometricInterpretation": "PALETTE COLOR"}):
        with pytest.raises(ImageError, match=r"table|palette"):
            decode_image(dicom(ROW, **changes), "x.dcm")


@pytest.mark.parametrize(
    "changes",
    [
        {"WindowCenter": 10, "WindowWidth": 0},
        {"WindowCenter": 10, "WindowWidth": -5},
        {"WindowCenter": 10, "WindowWidth": 50, "VOILUTFunction": "WAVY"},
        {"RescaleSlope": 0, "RescaleIntercept": 3},
        {"VOILUTSequence": table(0, 8, [1, 2], count=500)},
        {"ModalityLUTSequence": table(0, 40, [1, 2])},
    ],
)
def test_28_display_values_without_meaning_are_refused_not_guessed(dicom, changes):
    with pytest.raises(ImageError, match="cannot be shown"):
        decode_image(dicom(ROW, **changes), "x.dcm")


def test_28_big_endian(dicom):
    pixels = np.array([[1, 256, 4095]], ">u2")
    data = dicom(pixels, ExplicitVRBigEndian, BitsStored=12)
    assert gray(data) == [pytest.approx([1 / 4095, 256 / 4095, 1])]


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_rgb_dcmtk_+eb+cr.dcm", 2),
        ("SC_rgb_dcmtk_+eb+cy+n2.dcm", 2),
        ("SC_rgb_gdcm_KY.dcm", 2),
        ("SC_rgb_jpeg_dcmtk.dcm", 2),
        ("SC_rgb_jpeg_lossy_gdcm.dcm", 2),
        ("SC_ybr_full_422_uncompressed.dcm", 2),
    ],
)
def test_the_same_colours_in_every_encoding(name, tolerance):
    """One picture of colour bars, encoded by several toolkits (test files that pydicom brings along)."""
    found = get_testdata_file(name, download=False)
    assert found is not None
    reference = read_image(Path(get_testdata_file("SC_rgb_rle.dcm", download=False))).pixels.astype(int)
    pixels = read_image(Path(found)).pixels.astype(int)
    assert np.median(np.abs(pixels - reference)) <= tolerance  # the bars' edges ring in lossy JPEG


def test_a_real_ultrasound_palette():
    """PALETTE COLOR of a scanner, against pydicom's own colours."""
    path = get_testdata_file("examples_palette.dcm", download=False)
    dataset = dcmread(path)
    reference = apply_color_lut(dataset.pixel_array, dataset)
    assert np.array_equal(read_image(Path(path)).pixels, reference)


def _stream(data: bytes):
    from io import BytesIO

    return BytesIO(data)


def _bytes(dataset: Dataset) -> bytes:
    stream = _stream(b"")
    dataset.save_as(stream)
    return stream.getvalue()

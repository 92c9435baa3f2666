"""What identifies is gone, what the image needs is there, and the same key says the same."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset, Sequence, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from senoscope.clinic.deidentify import folder as deid
from senoscope.clinic.deidentify import ocr
from senoscope.clinic.deidentify.attributes import cleaned
from senoscope.clinic.deidentify.folder import deidentify_folder
from senoscope.clinic.deidentify.keyed import Key, load_key
from senoscope.clinic.deidentify.profile import rules
from senoscope.clinic.deidentify.residual import found_in, identifying_values
from senoscope.data.phantoms import simulate
from senoscope.errors import UsageError
from senoscope.imaging.burnt_in import text_lines

SECRETS = (
    "SECRETNAME",
    "SECRETGIVEN",
    "ID-SECRET-1",
    "SECRETHOSPITAL",
    "SECRETPRIVATE",
    "SECRETCOMMENT",
    "SN-SECRET",
)
KEY = Key(b"k" * 32)


def screen(text: str = "SECRETNAME 17.03.1961", at: tuple[int, int] = (8, 6)) -> np.ndarray:
    """A phantom on a scanner's screen: 320×400, the B-mode image at (40, 100), text in the band above."""
    whole = np.zeros((320, 400), np.uint8)
    whole[40:296, 100:356] = simulate(3, "benign").image
    sheet = Image.fromarray(whole)
    ImageDraw.Draw(sheet).text(at, text, 230, ImageFont.load_default(16))
    return np.asarray(sheet)


def region() -> Dataset:
    item = Dataset()
    for name, value in {
        "RegionSpatialFormat": 1, "RegionDataType": 1, "RegionFlags": 0, "RegionLocationMinX0": 100,
        "RegionLocationMinY0": 40, "RegionLocationMaxX1": 355, "RegionLocationMaxY1": 295,
        "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3, "PhysicalDeltaX": 0.01, "PhysicalDeltaY": 0.01,
    }.items():  # fmt: skip
        setattr(item, name, value)
    return item


def study(pixels: np.ndarray, **changes: object) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1" if pixels.ndim == 2 else "1.2.840.10008.5.1.4.1.1.3.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = "1.2.77.1", "1.2.77.1.1", "1.2.77.1.1.1"
    ds.PatientName, ds.PatientID = "SECRETNAME^SECRETGIVEN", "ID-SECRET-1"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19610317", "F", "063Y"
    ds.StudyDate, ds.SeriesDate, ds.ContentDate, ds.StudyTime = "20240502", "20240503", "20240502", "101112"
    ds.AccessionNumber, ds.InstitutionName, ds.DeviceSerialNumber = "ACC4711", "SECRETHOSPITAL", "SN-SECRET"
    ds.StudyDescription, ds.ImageComments = "breast of SECRETNAME", "SECRETCOMMENT"
    ds.ReferringPhysicianName, ds.OperatorsName, ds.Modality = "Who^SECRETDOC", "SECRETDOC", "US"
    ds.Manufacturer, ds.ManufacturerModelName, ds.BodyPartExamined, ds.ImageLaterality = (
        "ACME",
        "X1",
        "BREAST",
        "L",
    )
    ds.ProtocolName = "BREAST"
    block = ds.private_block(0x0009, "SECRET VENDOR", create=True)
    block.add_new(1, "LO", "SECRETPRIVATE")
    ds.add_new(0x60003000, "OW", b"\1\0" * 50)
    ds.add_new(0x60000010, "US", 10)
    ds.SequenceOfUltrasoundRegions = Sequence([region()])
    ds.Rows, ds.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        ds.NumberOfFrames, ds.FrameTime = len(pixels), 40
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.BurnedInAnnotation = 7, 0, "YES"
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB"
    for name, value in changes.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = (
        ds.SOPClassUID,
        ds.SOPInstanceUID,
    )
    return ds


@pytest.fixture
def run(tmp_path):
    def go(*datasets: Dataset, key: Path | None = None, out: str = "out"):
        for number, ds in enumerate(datasets):
            path = tmp_path / "in" / f"SECRETNAME-{number}.dcm"
            path.parent.mkdir(exist_ok=True)
            ds.save_as(path, enforce_file_format=True)
        outcome = deidentify_folder([tmp_path / "in"], tmp_path / out, key=key)
        written = [
            dcmread(tmp_path / out / item["file"]) for item in outcome.items if item["status"] == "written"
        ]
        return outcome, written

    return go


def test_36_nothing_identifying_is_left_in_any_byte(run, tmp_path):
    outcome, (made,) = run(study(screen()))
    assert outcome.exit_code == 0
    for path in (tmp_path / "out").rglob("*"):
        assert "SECRET" not in str(path.relative_to(tmp_path))
        if path.is_file():
            data = path.read_bytes()
            for secret in (*SECRETS, "SECRETDOC", "ACC4711", "19610317", "1.2.77.1", "063Y"):
                assert secret.encode() not in data, (path.name, secret)
    assert not [element for element in made.iterall() if element.tag.is_private]
    assert 0x60003000 not in made
    assert (made.PatientIdentityRemoved, made.BurnedInAnnotation) == ("YES", "NO")
    codes = {item.CodeValue for item in made.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113101", "113107"}
    assert (made.PatientBirthDate, made.PatientSex, made.AccessionNumber) == ("", "", "")


def test_what_the_image_needs_is_kept(run):
    _, (made,) = run(study(screen()))
    assert (made.Modality, made.Manufacturer, made.BodyPartExamined, made.ImageLaterality) == (
        "US", "ACME", "BREAST", "L",
    )  # fmt: skip
    assert made.SequenceOfUltrasoundRegions[0].PhysicalDeltaX == 0.01
    assert np.array_equal(made.pixel_array[40:296, 100:356], screen()[40:296, 100:356])


def test_outside_the_region_is_black(run):
    outcome, (made,) = run(study(screen()))
    outside = np.ones((320, 400), bool)
    outside[40:296, 100:356] = False
    assert not made.pixel_array[outside].any()
    assert outcome.items[0]["text_lines"] == 0  # the text stood outside


def test_37_text_inside_the_image_is_blackened_and_flagged(run):
    pixels = screen("SECRETNAME 17.03.1961", at=(120, 60))
    assert text_lines(pixels / np.float32(255))
    outcome, (made,) = run(study(pixels, BurnedInAnnotation="NO"))
    assert outcome.items[0]["flagged"]
    assert not text_lines(made.pixel_array.astype(np.float32) / 255)
    assert not made.pixel_array[63:73, 125:270].any()
    assert np.array_equal(made.pixel_array[100:290, 110:350], pixels[100:290, 110:350])


def test_dark_text_is_blackened_too(run, monkeypatch):
    monkeypatch.setattr(ocr, "words", lambda _: [])  # found without tesseract
    plain = screen("").copy()
    plain[100:200, 110:340] = 120 + plain[100:200, 110:340] // 4
    sheet = Image.fromarray(plain)
    ImageDraw.Draw(sheet).text((130, 140), "SECRETNAME 1961", 10, ImageFont.load_default(22))
    ink = np.asarray(sheet) != plain
    _, (made,) = run(study(np.asarray(sheet)))
    assert not made.pixel_array[ink].any()  # the letters' bright insides alone are three quarters of it


def test_text_in_any_frame_of_a_loop_is_blackened_in_all(run):
    loop = np.stack([screen(""), screen("SECRETNAME 1961", at=(130, 250)), screen("")])
    outcome, (made,) = run(study(loop, BurnedInAnnotation="NO"))
    assert outcome.items[0]["flagged"]
    assert not made.pixel_array[:, 253:264, 135:230].any()


def test_the_same_key_gives_the_same_stand_ins(run, tmp_path):
    key = tmp_path / "keys" / "secret.key"
    first, second = study(screen()), study(screen(), SOPInstanceUID="1.2.77.1.1.2", ContentDate="20240512")
    _, (one, two) = run(first, second, key=key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert one.PatientID == two.PatientID
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    days = [
        np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}") for d in (one.ContentDate, two.ContentDate, one.SeriesDate)
    ]
    assert (days[1] - days[0], days[2] - days[0]) == (np.timedelta64(10, "D"), np.timedelta64(1, "D"))
    assert days[0] < np.datetime64("2024-05-02")
    _, again = run(first, second, key=key, out="again")
    assert [d.SOPInstanceUID for d in again] == [one.SOPInstanceUID, two.SOPInstanceUID]
    _, other = run(first, second, out="other")
    assert other[0].PatientID == other[1].PatientID != one.PatientID


def test_other_patients_get_other_pseudonyms_and_shifts():
    assert KEY.patient("a") != KEY.patient("b")
    assert KEY.days("a") != KEY.days("b")
    assert KEY.uid("1.2.3") == KEY.uid("1.2.3") != KEY.uid("1.2.4")
    assert KEY.shifted("20240229", "a")[:4] <= "2024"
    assert KEY.shifted("20240502101112.5+0900", "a").endswith("101112.5")
    assert KEY.shifted("yesterday", "a") == ""


def test_a_key_never_lies_among_the_results_and_must_be_one(tmp_path):
    with pytest.raises(UsageError, match="among"):
        load_key(tmp_path / "out" / "k", outside=tmp_path / "out")
    (tmp_path / "bad").write_text("password")
    with pytest.raises(UsageError, match="no key"):
        load_key(tmp_path / "bad", outside=tmp_path / "out")


@pytest.mark.parametrize("name", ["Hong^Gildong=洪^吉洞=홍^길동", "قباني^لنزار", "کریمی^پرستو", "Å^Zoë"])
def test_35_names_of_any_script_are_found_again(name, tmp_path):
    original = study(screen(), PatientName=name)
    values = identifying_values(original)
    leak = cleaned(original, KEY)
    parts = [part for group in name.split("=") for part in group.split("^") if len(part) > 1]
    for number, part in enumerate(parts):
        leak.Manufacturer = f"made for {part}"
        leak.PixelData, leak.file_meta = b"\0\0", original.file_meta
        leak["PixelData"].VR = "OB"
        leak.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
        assert "Manufacturer" in found_in(tmp_path / f"{number}.dcm", values), part


def test_a_copy_that_still_names_the_patient_is_not_kept(run, tmp_path):
    outcome, written = run(study(screen(), ManufacturerModelName="X1 of SECRETHOSPITAL"))
    assert written == []
    assert outcome.exit_code == 1
    assert "ManufacturerModelName" in outcome.items[0]["note"]
    assert "SECRETHOSPITAL" not in outcome.items[0]["note"]
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_chance_is_no_leak(run):
    """Short numbers meet digits of UIDs and sizes everywhere; a protocol may be called like the body part."""
    _, written = run(study(screen(), PatientID="320", AccessionNumber="25", PatientName="Le^A"))
    assert len(written) == 1


def test_33_a_hostile_identifier_is_never_a_path(run, tmp_path):
    _, (made,) = run(study(screen(), PatientID="../../../../evil"))
    assert not list(tmp_path.rglob("*evil*"))
    assert made.PatientID.startswith("P")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}


def test_the_source_stays_and_the_index_names_no_source(run, tmp_path):
    ds = study(screen())
    run(ds)
    (source,) = (tmp_path / "in").iterdir()
    assert "SECRETNAME" in str(dcmread(source).PatientName)
    index = json.loads((tmp_path / "out" / deid.INDEX).read_text())
    assert "SECRET" not in json.dumps(index)
    assert len(index["files"]) == 1


def test_compressed_and_colour_pixels(run):
    grey = screen()
    packed = study(grey)
    packed.compress(RLELossless, generate_instance_uid=False)
    rgb = study(grey, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    rgb.PixelData = np.repeat(grey[..., None], 3, -1).tobytes()
    rgb.SOPInstanceUID = rgb.file_meta.MediaStorageSOPInstanceUID = "1.2.77.9"
    _, (one, two) = run(packed, rgb)
    inside = (slice(40, 296), slice(100, 356))
    assert np.array_equal(one.pixel_array[inside], grey[inside])
    assert np.array_equal(two.pixel_array[inside][..., 1], grey[inside])
    assert not two.pixel_array[:40].any()


def test_white_is_zero_in_monochrome1(run):
    _, (made,) = run(study(255 - screen(), PhotometricInterpretation="MONOCHROME1"))
    assert (made.pixel_array[:40] == 255).all()


def test_reports_and_other_objects_are_left_out(run):
    other = study(screen(), SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")
    outcome, written = run(other, study(screen()))
    assert outcome.counts == {"skipped": 1, "written": 1}
    assert len(written) == 1


def test_the_table_holds_together():
    table = rules()
    assert {rule.action for rule in table.values()} == {"K", "Z", "D", "U", "T", "X"}
    standard = {rule.keyword: (rule.basic, rule.action) for rule in table.values()}
    assert standard["PatientName"] == ("Z", "D")
    assert standard["StudyInstanceUID"] == ("U", "U")
    assert standard["InstitutionName"][1] == "X"
    kept = {rule.keyword for rule in table.values() if rule.action == "K" and rule.basic}
    assert all("Time" in keyword for keyword in kept)  # nothing else that the standard removes is kept
    from pydicom.datadict import keyword_for_tag

    assert all(keyword_for_tag(tag) == rule.keyword for tag, rule in table.items())


@pytest.mark.skipif(not ocr.available(), reason="tesseract is not installed")
def test_tesseract_reads_what_stands_in_the_picture():
    boxes = ocr.words(screen("SECRETNAME", at=(130, 8)).astype(np.float32) / 255)
    assert any(top < 20 and left < 150 and right > 200 for top, _, left, right in boxes)

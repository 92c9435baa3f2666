"""What is written is what was found: masks to the pixel, contours to the point, the patient to the letter."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Sequence, dcmread
from pydicom.sr.codedict import codes

from senoscope.clinic.dicom import identity, objects
from senoscope.clinic.dicom.measurements import long_axis
from senoscope.clinic.dicom.objects import write_objects
from senoscope.errors import ImageError
from senoscope.imaging.masks import contour_to_mask
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.bundle import load_bundle
from senoscope.inference.cine import examine_frames
from senoscope.schema import RESEARCH_USE


def by_kind(paths):
    """The written objects by modality, in order."""
    found = {}
    for path in paths:
        dataset = dcmread(path)
        found.setdefault(
            "SC" if dataset.SOPClassUID.name.startswith("Secondary") else dataset.Modality, []
        ).append(dataset)
    return found


def texts(report):
    """Every text of a structured report."""
    return [item.TextValue for item in walk(report) if item.get("ValueType") == "TEXT"]


def walk(item):
    for child in item.get("ContentSequence") or ():
        yield child
        yield from walk(child)


def numbers(report, name):
    """Every measurement of a name: value, unit, coordinates N×2, referenced frame."""
    found = []
    for item in walk(report):
        if item.get("ValueType") == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == name.value:
            value = item.MeasuredValueSequence[0]
            (coordinates,) = item.ContentSequence  # viewers take exactly one for granted
            points = np.array(coordinates.GraphicData, np.float32).reshape(-1, 2)
            image = coordinates.ContentSequence[0].ReferencedSOPSequence[0]
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            found.append((float(value.NumericValue), unit, points, image.get("ReferencedFrameNumber")))
    return found


def test_masks_come_back_to_the_pixel(make, exam, analyzer, tmp_path):
    source = make(exam)
    analysis = analyzer.examine(source)
    assert len(analysis.report.findings) == 2
    paths = write_objects(source, analysis, analyzer.bundle, tmp_path / "out")
    seg = hd.seg.segread(next(path for path in paths if "-seg" in path.name))
    frames = seg.get_pixels_by_source_instance(["1.2.826.0.1.99.1.1.1"])[0]
    assert frames.shape == (256, 256, 2)
    for number, finding in enumerate(analysis.report.findings):
        assert np.array_equal(frames[..., number], contour_to_mask(finding.contour, (256, 256)))
    assert np.array_equal(frames.any(-1), analysis.mask)
    assert seg.SegmentationType == "BINARY"


def test_the_segmentation_states_a_plane_and_no_patient_position(make, exam, analyzer, tmp_path, spaced):
    for extra, spacing in (({}, [1, 1]), ({"SequenceOfUltrasoundRegions": Sequence([spaced])}, [0.1, 0.2])):
        source = make(exam, **extra)
        seg = by_kind(write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path / "o"))[
            "SEG"
        ][0]
        shared = seg.SharedFunctionalGroupsSequence[0]
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        assert shared.PixelMeasuresSequence[0].PixelSpacing == pytest.approx(spacing)
        group = seg.PerFrameFunctionalGroupsSequence[0]
        assert group.PlanePositionSequence[0].ImagePositionPatient == [0, 0, 0]
        assert seg.FrameOfReferenceUID.startswith("2.25.")
        assert ("placeholder" in seg.ImageComments) is (spacing == [1, 1])


def test_contours_are_the_findings_counted_from_the_pixels_corner(make, exam, analyzer, tmp_path):
    source = make(exam)
    analysis = analyzer.examine(source)
    report = by_kind(write_objects(source, analysis, analyzer.bundle, tmp_path))["SR"][0]
    areas = numbers(report, codes.SCT.Area)
    for finding, (value, unit, points, frame) in zip(analysis.report.findings, areas, strict=True):
        contour = finding.contour
        closed = contour if np.array_equal(contour[0], contour[-1]) else np.vstack([contour, contour[:1]])
        assert np.array_equal(points, closed + np.float32(0.5))
        assert (value, unit, frame) == (finding.area_px, "{pixels}", None)
    scores = [value for value, unit, *_ in numbers(report, codes.DCM.ProbabilityOfCancer) if unit == "%"]
    assert scores == pytest.approx([100 * f.score for f in analysis.report.findings], abs=1e-3)


def test_millimetres_only_where_spacing_is_known(make, exam, analyzer, tmp_path, spaced):
    source = make(exam, SequenceOfUltrasoundRegions=Sequence([spaced]))
    analysis = analyzer.examine(source)
    report = by_kind(write_objects(source, analysis, analyzer.bundle, tmp_path))["SR"][0]
    (area, unit, *_), _ = numbers(report, codes.SCT.Area)
    assert unit == "mm2"
    assert area == pytest.approx(analysis.report.findings[0].area_px * 0.1 * 0.2, abs=1e-3)
    (length, unit, points, _), _ = numbers(report, codes.SCT.LongAxis)
    assert unit == "mm"
    # a disc of radius 40 px whose columns are 0.2 mm wide and rows 0.1 mm high: 80 px across are about 16 mm
    assert length == pytest.approx(16, abs=0.6)
    assert length == pytest.approx(np.hypot(*((points[1] - points[0]) * [0.2, 0.1])), abs=1e-3)


def test_the_long_axis_by_hand():
    corners = np.array([[0, 0], [3, 0], [3, 4], [0, 4]], np.float32)
    assert np.hypot(*np.diff(long_axis(corners, 1.0), axis=0)[0]) == 5  # 3-4-5
    line = np.array([[0, 0], [5, 0], [2, 0]], np.float32)
    assert sorted(long_axis(line, 1.0)[:, 0]) == [0, 5]
    tall = np.array([[0, 0], [6, 0], [0, 5]], np.float32)
    assert sorted(map(tuple, long_axis(tall, 0.1))) == [(0, 5), (6, 0)]


def test_segmentation_and_report_name_the_same_finding(make, exam, analyzer, tmp_path):
    source = make(exam)
    made = by_kind(write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path))
    segments = [item.TrackingUID for item in made["SEG"][0].SegmentSequence]
    told = [i.UID for i in walk(made["SR"][0]) if i.get("ValueType") == "UIDREF"]
    assert set(segments) <= set(told)
    assert len(set(segments)) == 2


@pytest.mark.parametrize(
    ("name", "charset"),
    [
        ("Hong^Gildong=洪^吉洞=홍^길동", "ISO 2022 IR 149"),
        ("قباني^لنزار", "ISO_IR 127"),
        ("کریمی^پرستو", "ISO_IR 192"),
        ("Åström^Zoë", "ISO_IR 100"),
    ],
)
def test_35_names_of_any_script_come_back(name, charset, make, exam, analyzer, tmp_path):
    charsets = ["", charset] if charset.startswith("ISO 2022") else charset
    source = make(exam, PatientName=name, SpecificCharacterSet=charsets)
    for made in map(dcmread, write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path)):
        assert str(made.PatientName) == name
        assert made.SpecificCharacterSet == "ISO_IR 192"


def test_patient_study_and_dates_are_the_sources(make, exam, analyzer, tmp_path):
    source = make(exam)
    before = source.read_bytes()
    made = [dcmread(p) for p in write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path)]
    assert source.read_bytes() == before
    for one in made:
        assert (one.PatientID, one.PatientBirthDate, one.PatientSex) == ("SECRET-17", "19700203", "F")
        assert (one.StudyInstanceUID, one.AccessionNumber) == ("1.2.826.0.1.99.1", "A1")
        assert (one.ContentDate, one.ContentTime) == ("20240502", "101500")
        assert (one.InstanceCreationDate, one.SeriesTime) == ("20240502", "101500")
        assert "RESEARCH USE ONLY" in one.SeriesDescription
    assert len({one.SeriesInstanceUID for one in made}) == len({one.SeriesNumber for one in made}) == 3


def test_who_made_it(make, exam, analyzer, tmp_path):
    source = make(exam)
    digest = hashlib.sha256((analyzer.bundle.folder / "model.onnx").read_bytes()).hexdigest()
    for one in map(dcmread, write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path)):
        items = one.ContributingEquipmentSequence
        purposes = {item.PurposeOfReferenceCodeSequence[0].CodeMeaning: item for item in items}
        item = purposes["Processing Algorithm"]
        assert item.DeviceUID == identity.device_uid(analyzer.bundle)
        assert item.ManufacturerModelName == "fake-us"
        assert digest in item.ContributionDescription
        assert RESEARCH_USE in item.ContributionDescription
        if one.Modality == "SEG":
            assert {segment.SegmentAlgorithmName for segment in one.SegmentSequence} == {"fake-us"}


def test_same_input_same_bytes_other_weights_other_objects(make, exam, analyzer, fake, tmp_path):
    source = make(exam)
    first = write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path / "a")
    again = write_objects(dcmread(source), analyzer.examine(source), analyzer.bundle, tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    assert [p.relative_to(tmp_path / "a") for p in first] == [p.relative_to(tmp_path / "b") for p in again]
    other = load_bundle(fake.write_bundle(tmp_path / "other", fake.build_network(bias=2.0001)))
    assert other.weights_hash != analyzer.bundle.weights_hash
    assert identity.device_uid(other) != identity.device_uid(analyzer.bundle)
    changed = write_objects(source, analyzer.examine(source), other, tmp_path / "c")
    ids = [{(d.SOPInstanceUID, d.SeriesInstanceUID) for d in map(dcmread, ps)} for ps in (first, changed)]
    assert not ids[0] & ids[1]


def test_edited_findings_are_other_objects_with_the_edited_contour(make, exam, analyzer, tmp_path):
    source = make(exam)
    analysis = analyzer.examine(source)
    square = np.array([[9.5, 9.5], [19.5, 9.5], [19.5, 29.5], [9.5, 29.5]], np.float32)
    finding = replace(analysis.report.findings[0], contour=square, area_px=200)
    edited = replace(analysis, report=replace(analysis.report, findings=(finding,)))
    first = by_kind(write_objects(source, analysis, analyzer.bundle, tmp_path / "a"))
    second = by_kind(write_objects(source, edited, analyzer.bundle, tmp_path / "b"))
    assert first["SR"][0].SOPInstanceUID != second["SR"][0].SOPInstanceUID
    assert second["SEG"][0].pixel_array.sum() == 10 * 20


def test_no_finding_is_said_and_not_segmented(make, fake, analyzer, tmp_path):
    source = make((fake.draw_exam() * 255).astype(np.uint8))
    analysis = analyzer.examine(source)
    assert (analysis.report.status, analysis.report.findings) == ("analysed", ())
    made = by_kind(write_objects(source, analysis, analyzer.bundle, tmp_path))
    assert set(made) == {"SR", "SC"}
    assert "No finding." in texts(made["SR"][0])
    results = [
        i.ConceptCodeSequence[0].CodeValue for i in walk(made["SR"][0]) if i.get("ValueType") == "CODE"
    ]
    assert "111241" in results  # All algorithms succeeded; without findings


def test_out_of_scope_is_a_report_that_says_why(make, exam, analyzer, tmp_path):
    source = make(exam, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2", Modality="MG")
    analysis = analyzer.examine(source)
    assert analysis.report.status == "out of scope"
    made = by_kind(write_objects(source, analysis, analyzer.bundle, tmp_path))
    assert set(made) == {"SR"}
    said = [text for text in texts(made["SR"][0]) if text.startswith("Not scored (out of scope)")]
    assert analysis.report.prediction.reasons[0] in said[0]
    assert not numbers(made["SR"][0], codes.DCM.ProbabilityOfCancer)


def test_every_report_is_unverified_and_for_research(make, exam, analyzer, tmp_path):
    source = make(exam)
    report = by_kind(write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path))["SR"][0]
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert RESEARCH_USE in texts(report)
    assert any("normal 20%, benign 50%, malignant 30%" in text for text in texts(report))
    assert not any("BI-RADS" in text for text in texts(report))


def test_descriptors_are_codes(make, exam, analyzer, tmp_path):
    source = make(exam)
    analysis = analyzer.examine(source)
    report = by_kind(write_objects(source, analysis, analyzer.bundle, tmp_path))["SR"][0]
    wanted = {"Shape": "round", "Orientation": "parallel", "Margins": "circumscribed"}
    first = analysis.report.findings[0]
    assert (first.shape, first.margin) == (wanted["Shape"], wanted["Margins"])
    said = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeValue
        for item in list(walk(report))
        if item.get("ValueType") == "CODE"
    }
    assert said["Shape"] == "42700002"
    assert said["Margins"] == "129738007"


def test_the_picture_has_a_label_below_and_says_it_is_burnt_in(make, exam, analyzer, tmp_path):
    source = make(exam)
    picture = by_kind(write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path))["SC"][0]
    assert (picture.BurnedInAnnotation, picture.Laterality) == ("YES", "L")
    assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.826.0.1.99.1.1.1"
    pixels = picture.pixel_array
    assert pixels.shape[0] > 256
    assert pixels.shape[1:] == (256, 3)
    band = pixels[256:].astype(int)
    assert ((band - [255, 214, 102]) ** 2).sum(-1).min() < 100  # the label's ink
    quiet = np.abs(pixels[:256].astype(int) - exam[..., None]).max(-1) == 0
    assert quiet[200:].all()  # tissue away from findings is untouched


def test_a_loop_is_outlined_frame_by_frame(make, loop, analyzer, tmp_path):
    source = make(loop)
    analyses = list(examine_frames(source, analyzer))
    frames = [n for n, a in enumerate(analyses, start=1) if a.report.findings]
    assert frames in ([2, 3], [1, 2, 3])
    made = by_kind(write_objects(source, iter(analyses), analyzer.bundle, tmp_path))
    assert len(made["SEG"]) == len(frames)
    for frame, seg in zip(frames, made["SEG"], strict=True):
        reference = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
        assert reference.ReferencedFrameNumber == frame
        assert reference.ReferencedSOPClassUID.name == "Ultrasound Multi-frame Image Storage"
        pixels = seg.pixel_array if seg.pixel_array.ndim == 3 else seg.pixel_array[None]
        assert np.array_equal(pixels.any(0), analyses[frame - 1].mask)
    assert len({seg.SOPInstanceUID for seg in made["SEG"]}) == len(frames)
    assert {number[3] for number in numbers(made["SR"][0], codes.SCT.Area)} == set(frames)
    best = max(frames, key=lambda n: max(f.score for f in analyses[n - 1].report.findings))
    assert made["SC"][0].SourceImageSequence[0].ReferencedFrameNumber == best
    assert any(text.startswith(f"Key frame: {best}") for text in texts(made["SR"][0]))


def test_nothing_is_left_of_a_set_that_could_not_be_finished(make, loop, analyzer, tmp_path, monkeypatch):
    source = make(loop)

    def breaks(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects, "make_report", breaks)
    with pytest.raises(OSError, match="space"):
        write_objects(source, examine_frames(source, analyzer), analyzer.bundle, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_analyses_of_another_image_are_refused(make, exam, analyzer, tmp_path):
    source = make(exam[:200])
    with pytest.raises(ImageError, match="not of this image"):
        write_objects(source, analyzer.examine(make(exam, "b.dcm")), analyzer.bundle, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"StudyInstanceUID": None},
        {"SOPInstanceUID": "1.2.3/../../SECRET"},
        {"SeriesInstanceUID": "1.02.3"},
        {"StudyInstanceUID": "1." + "2" * 70},
    ],
)
def test_33_missing_and_illegal_uids_are_refused_without_being_quoted(
    changes, make, exam, analyzer, tmp_path
):
    source = make(exam, **changes)
    with pytest.raises(ImageError, match="missing or illegal") as caught:
        write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path / "out")
    assert "SECRET" not in str(caught.value)


def test_values_without_meaning_are_left_out_not_passed_on(make, exam, analyzer, tmp_path):
    odd = {"PatientSex": "X", "PatientBirthDate": "long ago", "StudyTime": "noon", "PatientAge": "old"}
    source = make(exam, **odd)
    for one in map(dcmread, write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path)):
        assert (one.PatientSex, one.PatientBirthDate, one.StudyTime) == ("", "", "")
        assert "PatientAge" not in one


def test_nothing_of_the_patient_is_logged(make, exam, analyzer, tmp_path, caplog, recwarn):
    caplog.set_level(0)
    source = make(exam, PatientName="SECRETNAME")
    write_objects(source, analyzer.examine(source), analyzer.bundle, tmp_path)
    told = caplog.text + " ".join(str(warning.message) for warning in recwarn.list)
    assert "SECRET" not in told
    assert "1.2.826.0.1.99" not in told


def test_a_detectors_box_is_reported_and_not_segmented(make, exam, fake, tmp_path):
    folder: Path = fake.write_kind(tmp_path / "detector", "scoring detector", bias=-5.0)
    boxer = Analyzer(folder, threads=1)
    source = make(exam)
    analysis = boxer.examine(source)
    assert [f.area_px for f in analysis.report.findings] == [None]
    made = by_kind(write_objects(source, analysis, boxer.bundle, tmp_path / "out"))
    assert set(made) == {"SR", "SC"}
    assert not numbers(made["SR"][0], codes.SCT.Area)
    assert len(numbers(made["SR"][0], codes.SCT.LongAxis)) == 1

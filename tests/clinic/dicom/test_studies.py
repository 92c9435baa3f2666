"""Many files: bad ones listed, repeated ones once, mixed studies left alone, nothing written outside."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian
from typer.testing import CliRunner

from senoscope.cli.main import verb_app
from senoscope.clinic.dicom.identity import study_folder
from senoscope.clinic.dicom.intake import Intake, Verdict
from senoscope.clinic.dicom.source import read_source
from senoscope.clinic.dicom.studies import process
from senoscope.errors import ImageError, UsageError
from senoscope.imaging import read_frames
from senoscope.inference.cine import KEY_NOTE, examine_file

OTHER = {"SOPInstanceUID": "1.2.826.0.1.99.1.1.2"}


def statuses(outcome):
    return {Path(item["source"]).name: item["status"] for item in outcome.items}


def objects(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.dcm"))


def test_a_folder_with_good_bad_and_other_files(make, exam, loop, fake_folder, tmp_path):
    make(exam, "in/a.dcm")
    make(loop, "in/b.dcm", **OTHER)
    cut = make(exam, "in/cut.dcm", SOPInstanceUID="1.2.3.4")
    cut.write_bytes(cut.read_bytes()[:-500])
    (tmp_path / "in" / "sub").mkdir()
    (tmp_path / "in" / "sub" / "picture.png").write_bytes(b"no DICOM, so not ours")
    make(exam, "in/report.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", SOPInstanceUID="1.2.3.5")
    outcome = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    wanted = {"a.dcm": "written", "b.dcm": "written", "cut.dcm": "failed", "report.dcm": "skipped"}
    assert statuses(outcome) == wanted
    assert outcome.exit_code == 1
    index = json.loads((tmp_path / "out" / "objects.json").read_text())
    assert sorted(name for item in index["files"] for name in item.get("objects", ())) == objects(
        tmp_path / "out"
    )
    folder = study_folder("1.2.826.0.1.99.1")
    assert all(name.startswith(folder + "/") for name in objects(tmp_path / "out"))
    assert "SECRET" not in json.dumps(index)


def test_16_a_cut_file_alone_fails_and_leaves_nothing(make, exam, fake_folder, tmp_path):
    path = make(exam)
    path.write_bytes(path.read_bytes()[:-500])
    outcome = process([path], tmp_path / "out", bundle=fake_folder, threads=1)
    assert statuses(outcome) == {"image.dcm": "failed"}
    assert "shorter than it says" in outcome.items[0]["note"]
    assert objects(tmp_path / "out") == []


def test_a_loop_cut_in_the_middle_leaves_nothing(make, loop, fake_folder, tmp_path):
    from pydicom import dcmread
    from pydicom.uid import RLELossless

    path = make(loop)
    dataset = dcmread(path)
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    outcome = process([path], tmp_path / "out", bundle=fake_folder, threads=1)
    assert statuses(outcome) == {"image.dcm": "failed"}
    assert objects(tmp_path / "out") == []


def test_again_is_the_same_files(make, exam, fake_folder, tmp_path):
    make(exam)
    first = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in objects(tmp_path / "out")}
    again = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in objects(tmp_path / "out")} == before
    assert first.items == again.items


def test_30_31_the_same_object_again_and_another_under_its_identifier(make, exam, fake_folder, tmp_path):
    make(exam, "in/1.dcm")
    make(exam, "in/2.dcm")
    make(255 - exam, "in/3.dcm")
    outcome = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    assert statuses(outcome) == {"1.dcm": "written", "2.dcm": "same", "3.dcm": "conflict"}
    assert len(objects(tmp_path / "out")) == 3
    assert outcome.exit_code == 1


def test_30_a_damaged_first_copy_does_not_stand_in_the_way(make, exam, fake_folder, tmp_path):
    cut = make(exam, "in/1.dcm")
    make(exam, "in/2.dcm")
    cut.write_bytes(cut.read_bytes()[:-500])
    outcome = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    assert statuses(outcome) == {"1.dcm": "failed", "2.dcm": "written"}


def test_32_a_study_of_two_patients_is_left_alone(make, exam, fake_folder, tmp_path):
    make(exam, "in/1.dcm")
    make(exam, "in/2.dcm", PatientID="SECRET-18", **OTHER)
    make(exam, "in/3.dcm", StudyInstanceUID="1.2.3.77", SOPInstanceUID="1.2.3.78")
    outcome = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    assert statuses(outcome) == {"1.dcm": "quarantined", "2.dcm": "quarantined", "3.dcm": "written"}
    assert {name.partition("/")[0] for name in objects(tmp_path / "out")} == {study_folder("1.2.3.77")}
    assert "SECRET" not in json.dumps(outcome.items)


def test_the_ledger_one_by_one(make, exam):
    ledger = Intake()
    first, again = read_source(make(exam, "1.dcm")), read_source(make(exam, "2.dcm"))
    assert ledger.admit(first, "a") == Verdict.NEW
    assert ledger.admit(again, "a") == Verdict.SAME
    assert ledger.admit(again, "b") == Verdict.CONFLICT
    nameless = read_source(make(exam, "3.dcm", PatientID="", PatientName="Other^One", **OTHER))
    assert ledger.admit(nameless, "c") == Verdict.MIXED
    assert ledger.is_mixed(first)


def test_33_hostile_identifiers_never_become_paths(make, exam, fake_folder, tmp_path):
    make(exam, "in/1.dcm", PatientID="../../evil", PatientName="../../evil", AccessionNumber="../evil")
    make(exam, "in/2.dcm", StudyInstanceUID="../../evil", **OTHER)
    outcome = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    assert statuses(outcome) == {"1.dcm": "written", "2.dcm": "failed"}
    assert not list(tmp_path.parent.rglob("*evil*"))
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}


def test_14_20_24_27_headers_that_must_not_be_believed(make, exam, fake_folder, tmp_path):
    whole = make(exam, "a/whole.dcm").read_bytes()
    bad = tmp_path / "in"
    bad.mkdir()
    (bad / "14.dcm").write_bytes(whole[132:])
    dataset = dcmread(BytesIO(whole))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(bad / "20.dcm")
    data = (bad / "20.dcm").read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    (bad / "20.dcm").write_bytes(data[:start] + block * 1024 + zlib.compressobj(9, wbits=-15).flush())
    opening = struct.pack("<HH2sHIHHI", 0x0018, 0x6011, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = whole.index(struct.pack("<HH", 0x0028, 0x0002))
    (bad / "24.dcm").write_bytes(whole[:at] + opening * 20_000 + whole[at:])
    (bad / "27.dcm").write_bytes(b"MZ" + whole[2:])
    tracemalloc.start()
    with pytest.raises(ImageError, match="unpacks to more than"):
        read_source(bad / "20.dcm")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * 2**20  # not the gigabyte that row 20 unpacks to
    (bad / "20.dcm").unlink()
    outcome = process(
        [bad / f"{n}.dcm" for n in (14, 24, 27)], tmp_path / "out", bundle=fake_folder, threads=1
    )
    assert set(statuses(outcome).values()) == {"failed"}
    notes = " ".join(item["note"] for item in outcome.items)
    assert "program" in notes
    assert "SECRET" not in notes


def test_34_directories_are_not_followed(make, exam, fake_folder, tmp_path):
    """A DICOMDIR only points elsewhere, perhaps outside; files are found by walking, never by its word."""
    make(exam, "in/a.dcm")
    found = get_testdata_file("DICOMDIR", download=False)
    data = Path(found).read_bytes().replace(b"77654033", b"../../..")
    (tmp_path / "in" / "DICOMDIR").write_bytes(data)
    outcome = process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder, threads=1)
    assert statuses(outcome) == {"a.dcm": "written", "DICOMDIR": "skipped"}
    assert outcome.exit_code == 0


def test_for_processing_is_refused_with_advice(make, exam):
    for changes in (
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2", "PresentationIntentType": "FOR PROCESSING"},
    ):
        path = make(exam, Modality="MG", **changes)
        with pytest.raises(ImageError, match="FOR PROCESSING") as caught:
            list(read_frames(path))
        assert "FOR PRESENTATION" in caught.value.fix


def test_no_dicom_at_all_is_misuse(fake_folder, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="no DICOM"):
        process([tmp_path / "in"], tmp_path / "out", bundle=fake_folder)


def test_analyze_shows_a_loops_key_frame(make, loop, analyzer):
    path = make(loop)
    shown = examine_file(path, analyzer)
    scores = [
        max((f.score for f in analyzer.examine(raw).report.findings), default=-1) for raw in read_frames(path)
    ]
    best = 1 + int(np.argmax(scores))
    assert shown.report.findings[0].score == pytest.approx(max(scores))
    assert KEY_NOTE.format(count=4, frame=best) in shown.report.notes
    assert shown.report.source == str(path)


def test_memory_does_not_grow_with_the_loop(make, loop):
    def peak(frames: int) -> int:
        path = make(np.tile(loop, (frames // 4, 1, 1)), f"{frames}.dcm")
        tracemalloc.start()
        assert sum(1 for _ in read_frames(path)) == frames
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(8), peak(80)
    assert large < small + 80 * 256 * 256 / 10  # 5 MB of frames; holding them all would show


def test_the_command(make, exam, fake_folder, tmp_path):
    make(exam)
    words = [
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--bundle",
        str(fake_folder),
        "--threads",
        "1",
    ]
    run = CliRunner().invoke(verb_app("dicom"), [*words, "--json"])
    assert run.exit_code == 0
    (line,) = run.stdout.strip().splitlines()
    item = json.loads(line)
    assert (item["status"], item["result"], item["findings"], item["frames"]) == ("written", "analysed", 2, 1)
    assert len(item["objects"]) == 3
    (tmp_path / "in" / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM")
    run = CliRunner().invoke(verb_app("dicom"), words)
    assert run.exit_code == 1
    assert "1 written" in run.stdout
    assert "Research use only" in run.stdout

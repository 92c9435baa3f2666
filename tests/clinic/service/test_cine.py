"""A loop in the service: every frame told, reviewed and exported; bad frames, too many, and progress."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from senoscope.clinic.service.progress import progress_of
from senoscope.clinic.service.store import KIND
from senoscope.clinic.service.worker import work_on
from senoscope.imaging.raw import Limits

ROOT = Path(__file__).resolve().parents[3]
LESIONS = [
    ((120, 130, 30, 0.1),),  # 1: small
    (),  # 2: made black below: not analysable
    ((120, 130, 40, 0.02), (60, 60, 20, 0.2)),  # 3: a large and a paler one
    ((120, 130, 40, 0.1),),  # 4
    (),  # 5: no lesion
]
BLACK, KEY, EMPTY = 2, 3, 5


@pytest.fixture(scope="module")
def frames(fake: ModuleType) -> NDArray[np.uint8]:
    """Five frames, uint8 5×256×256."""
    drawn = np.stack(
        [(fake.draw_exam(*discs, seed=i) * 255).astype("uint8") for i, discs in enumerate(LESIONS)]
    )
    drawn[BLACK - 1] = 0
    return drawn


@pytest.fixture(scope="module")
def cine(frames: NDArray[np.uint8], stills: ModuleType) -> bytes:
    data: bytes = stills.file_bytes(stills.loop(frames))
    return data


def looked_at(local: Any, data: bytes) -> tuple[str, dict[str, Any]]:
    exam = local.send(data, name="loop.dcm")
    local.work()
    return exam, local.client.get(f"/api/exams/{exam}").json()["images"][0]


def frame(local: Any, exam: str, number: int) -> dict[str, Any]:
    answer = local.client.get(f"/api/exams/{exam}/images/1/frames/{number}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def review(local: Any, exam: str, finding: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = local.client.put(
        f"/api/exams/{exam}/images/1/findings/{finding['number']}",
        json={"version": finding["version"], **body},
    )
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_every_frame_is_told_and_the_key_frame_first(
    local: Any, cine: bytes, analyzer: Any, tmp_path: Path
) -> None:
    exam, image = looked_at(local, cine)
    loop = image["cine"]
    assert (loop["frames"], loop["analysed"], loop["rate"]) == (5, 4, 25.0)
    assert [(mark["frame"], mark["findings"]) for mark in loop["marks"]] == [(1, 1), (3, 2), (4, 1)]
    assert image["status"] == "analysed"
    assert image["frame"] == loop["key_frame"] == max(loop["marks"], key=lambda mark: mark["score"])["frame"]
    told = [frame(local, exam, number) for number in range(1, 6)]
    assert [each["status"] for each in told] == [
        "analysed", "not analysable", "analysed", "analysed", "analysed",
    ]  # fmt: skip
    numbers = [finding["number"] for each in told for finding in each["findings"] or ()]
    assert numbers == [1, 2, 3, 4]  # counted through, so that each has one address
    assert [finding["frame"] for each in told for finding in each["findings"] or ()] == [1, 3, 3, 4]
    assert told[EMPTY - 1]["findings"] == []
    assert any("Not analysed: 1 of 5 frames (2)." in note for note in image["notes"])
    # Frame by frame the same as the very files on their own.
    from senoscope.inference.cine import examine_frames

    path = tmp_path / "loop.dcm"
    path.write_bytes(cine)
    for each, analysis in zip(told, examine_frames(path, analyzer), strict=True):
        expected = analysis.report.findings
        assert len(each["findings"] or ()) == len(expected)
        for ours, theirs in zip(each["findings"] or (), expected, strict=True):
            assert ours["score"] == pytest.approx(theirs.score, abs=1e-5)
            assert ours["contour"] == pytest.approx(np.round(theirs.contour, 2), abs=0.011)
    assert local.client.get(f"/api/exams/{exam}/images/1/frames/6").status_code == 404
    assert local.client.get(f"/api/exams/{exam}/images/2/frames/1").status_code == 404


def test_pictures_of_frames_are_the_frames(local: Any, cine: bytes, frames: NDArray[np.uint8]) -> None:
    exam, _ = looked_at(local, cine)
    for number in (4, 1, 2):
        told = frame(local, exam, number)
        shown = Image.open(BytesIO(local.client.get(told["picture"]).content))
        assert np.array_equal(np.asarray(shown), frames[number - 1])
    heat = Image.open(BytesIO(local.client.get(frame(local, exam, 1)["heatmap"]).content))
    assert heat.mode == "RGBA"
    assert frame(local, exam, BLACK)["heatmap"] is None
    for place in ("frames/2/heatmap.png", "frames/6/picture.png", "picture.png", "heatmap.png"):
        assert local.client.get(f"/api/exams/{exam}/images/1/{place}").status_code == 404
    still = local.send(Path(ROOT / "docs/images/phantoms.png").read_bytes())
    assert local.client.get(f"/api/exams/{still}/images/1/frames/1/picture.png").status_code == 404


def test_findings_of_frames_are_reviewed_and_the_key_frame_follows(local: Any, cine: bytes) -> None:
    exam, image = looked_at(local, cine)
    first = image["cine"]["key_frame"]
    for finding in frame(local, exam, first)["findings"]:
        review(local, exam, finding, action="reject")
    after = local.client.get(f"/api/exams/{exam}").json()["images"][0]
    marks = {mark["frame"]: mark for mark in after["cine"]["marks"]}
    assert marks[first]["rejected"] == marks[first]["findings"] == marks[first]["reviewed"]
    left = [mark for mark in marks.values() if mark["score"] is not None]
    assert after["cine"]["key_frame"] == max(left, key=lambda mark: mark["score"])["frame"] != first
    other = frame(local, exam, 1)["findings"][0]
    square = [[100, 100], [199, 100], [199, 149], [100, 149]]
    made = review(local, exam, other, action="edit", contour=square)
    # Even-odd rule on pixel centres: the right and lower edge are outside. Pixels are 0.1 mm wide.
    assert (made["frame"], made["area_px"], made["review"]) == (1, 99 * 49, "edited")
    assert made["area_mm2"] == pytest.approx(99 * 49 * 0.01)
    assert frame(local, exam, 1)["findings"][0]["version"] == 2


def test_documents_tell_the_frame(local: Any, cine: bytes) -> None:
    exam, image = looked_at(local, cine)
    review(local, exam, frame(local, exam, 4)["findings"][0], action="reject")
    document = local.client.get(f"/api/exams/{exam}/report.json").json()
    jsonschema.validate(document, json.loads((ROOT / "docs/reference/findings.schema.json").read_text()))
    assert [item["source"] for item in document["items"]] == [f"image 1, frame {n}" for n in range(1, 6)]
    assert [len(item["findings"] or ()) for item in document["items"]] == [1, 0, 2, 0, 0]
    (key,) = [
        item["source"] for item in document["items"] if "Key frame of a loop of 5 frames." in item["notes"]
    ]
    assert key == f"image 1, frame {image['cine']['key_frame']}"
    page = local.client.get(f"/api/exams/{exam}/report.html").text
    assert "Frames with findings: 2" in page
    assert f"frame {image['cine']['key_frame']} is shown" in page
    assert local.client.get(f"/api/exams/{exam}/report.pdf").content.startswith(b"%PDF-")


def test_fhir_selects_frames(local: Any, cine: bytes) -> None:
    selection = pytest.importorskip("fhir.resources.imagingselection").ImagingSelection
    exam, _ = looked_at(local, cine)
    review(local, exam, frame(local, exam, 4)["findings"][0], action="reject")
    bundle = local.client.get(f"/api/exams/{exam}/fhir?version=R5").json()
    resources = [entry["resource"] for entry in bundle["entry"]]
    selected = [each for each in resources if each["resourceType"] == "ImagingSelection"]
    for each in selected:
        selection.model_validate(each)
    assert [each["instance"][0]["subset"] for each in selected] == [["1"], ["3"], ["3"]]
    told = [
        part["valueInteger"]
        for each in resources
        for part in each.get("component", ())
        if part["code"]["text"] == "Frame"
    ]
    assert told == [1, 3, 3]


def test_dicom_objects_are_as_the_command_line_writes_them(
    local: Any, cine: bytes, analyzer: Any, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom")
    from senoscope.clinic.dicom.studies import process

    exam, _ = looked_at(local, cine)
    answer = local.client.get(f"/api/exams/{exam}/dicom.zip")
    assert answer.status_code == 200, answer.text
    with ZipFile(BytesIO(answer.content)) as archive:
        ours = {name: dcmread(BytesIO(archive.read(name))) for name in archive.namelist()}
    (tmp_path / "loop.dcm").write_bytes(cine)
    done = process([tmp_path / "loop.dcm"], tmp_path / "out", bundle=analyzer.bundle, threads=1)
    theirs = {name: dcmread(tmp_path / "out" / name) for name in done.items[0]["objects"]}
    assert list(ours) == list(theirs)
    assert [outlined(each) for each in ours.values()] == [outlined(each) for each in theirs.values()]


def outlined(made: Dataset) -> tuple[str, list[int], bytes]:
    """An object's kind, the frames it refers to, and its pixels."""
    frames = [
        int(item.ReferencedFrameNumber)
        for item in made.get("SourceImageSequence", ())
        if "ReferencedFrameNumber" in item
    ]
    return made.Modality, frames, made.get("PixelData", b"") if made.Modality == "SEG" else b""


def test_a_damaged_frame_does_not_stop_the_rest(
    local: Any, frames: NDArray[np.uint8], stills: ModuleType
) -> None:
    streams = []
    for picture in frames:
        stream = BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=95)
        streams.append(stream.getvalue())
    streams[2] = streams[2][:400]
    data = stills.loop(frames)
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate(streams)
    data["PixelData"].is_undefined_length = True
    exam, image = looked_at(local, stills.file_bytes(data))
    told = [frame(local, exam, number) for number in range(1, 6)]
    assert [each["status"] for each in told] == [
        "analysed", "not analysable", "failed", "analysed", "analysed",
    ]  # fmt: skip
    assert "ends early" in told[2]["notes"][0]
    assert told[2]["picture"] is None
    assert (image["status"], image["cine"]["analysed"]) == ("analysed", 3)
    assert local.client.get(f"/api/exams/{exam}/report.pdf").status_code == 200
    assert local.client.get(f"/api/exams/{exam}/dicom.zip").status_code == 200


def test_too_many_frames_are_one_clear_error(local: Any, cine: bytes) -> None:
    exam = local.send(cine)
    job = local.service.queue.claim([KIND], "test")
    work_on(local.service.store, local.analyzer, job, limits=Limits(max_cine=4))
    (image,) = local.client.get(f"/api/exams/{exam}").json()["images"]
    assert (image["status"], image["cine"]) == ("failed", None)
    assert "image 1 says it holds 5 frames. Expected: 1 to 4 frames." in image["notes"][0]


def test_progress_is_seen_while_it_waits_and_gone_afterwards(
    local: Any, cine: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("senoscope.clinic.service.progress._EVERY", 0.0)
    exam = local.send(cine)
    seen: list[Any] = []

    def look() -> None:
        seen.append(local.client.get(f"/api/exams/{exam}").json()["images"][0]["progress"])
        (listed,) = local.client.get("/api/exams").json()["exams"]
        assert listed["progress"] == seen[-1]

    job = local.service.queue.claim([KIND], "test")
    work_on(local.service.store, local.analyzer, job, alive=look)
    assert seen == [None, *({"done": done, "frames": 5} for done in range(1, 5))]
    (listed,) = local.client.get("/api/exams").json()["exams"]
    assert (listed["state"], listed["progress"]) == ("done", None)
    with local.service.queue.engine.connect() as connection:
        assert progress_of(connection, [exam]) == {}


def test_an_exam_that_is_erased_ends_its_analysis(
    local: Any, cine: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("senoscope.clinic.service.progress._EVERY", 0.0)
    exam = local.send(cine)

    token = local.client.get("/api/session").json()["csrf"]

    def erase() -> None:
        answers.append(local.client.delete(f"/api/exams/{exam}", headers={"X-CSRF-Token": token}).status_code)

    answers: list[int] = []

    job = local.service.queue.claim([KIND], "test")
    work_on(local.service.store, local.analyzer, job, alive=erase)
    assert answers == [204]  # it did not go on to the end
    assert "unexpectedly" not in caplog.text
    assert local.client.get(f"/api/exams/{exam}").status_code == 404
    with local.service.queue.engine.connect() as connection:
        assert progress_of(connection, [exam]) == {}


def test_a_played_loop_is_named_once_in_the_audit_log(local: Any, cine: bytes) -> None:
    exam, _ = looked_at(local, cine)
    log = local.service.settings.data_dir / "audit.jsonl"
    before = len(log.read_text().splitlines())
    for number in range(1, 6):
        local.client.get(f"/api/exams/{exam}/images/1/frames/{number}/picture.png")
    (line,) = log.read_text().splitlines()[before:]
    assert (json.loads(line)["event"], json.loads(line)["subject"]) == ("DICOM Instances Accessed", exam)

"""From a sender through analysis to a receiver: once, and without a patient in the log.

One gateway for all of them. It waits an hour for a series to be quiet, so what is analysed here is complete for
another reason: storage commitment was asked for, or the source said how many objects there are.
"""

from __future__ import annotations

import json
import time

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
)

from senoscope.cli.main import main

COMMITMENT = "1.2.840.10008.1.20.1.1"
COUNT = 2


@pytest.fixture(scope="module")
def receiver(parts):
    made = parts.Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def source():
    """An archive that says of every series that it has two objects; its port."""

    def find(event):
        answer = Dataset()
        answer.QueryRetrieveLevel, answer.SeriesInstanceUID = "SERIES", event.identifier.SeriesInstanceUID
        answer.NumberOfSeriesRelatedInstances = COUNT
        yield 0xFF00, answer

    entity = AE(ae_title="SOURCE")
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(parts, receiver, source, tmp_path_factory, fake_folder):
    settings = parts.settings(
        receiver.port,
        str(fake_folder),
        series={"quiet_s": 3600},
        retry={"attempts": 2, "first_s": 0.1, "longest_s": 0.2},
    )
    asked = {"ae_title": "SOURCE", "host": "127.0.0.1", "port": source, "query": True}
    settings["peers"].append(asked)
    made = parts.Gateway(tmp_path_factory.mktemp("gateway"), settings)
    yield made
    assert made.stop() == 0


def verb(gateway, capsys, *words: str) -> tuple[int, str]:
    """``senoscope gateway WORDS`` beside the running one: its exit code and what it prints."""
    with pytest.raises(SystemExit) as ended:
        main(["gateway", *words, "--config", str(gateway.config)])
    return int(ended.value.code or 0), capsys.readouterr().out


def commit(port: int, exams: list[Dataset]) -> int:
    """Ask for storage commitment; the status of the N-ACTION."""
    asked = Dataset()
    asked.TransactionUID = generate_uid()
    asked.ReferencedSOPSequence = []
    for exam in exams:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = exam.SOPClassUID, exam.SOPInstanceUID
        asked.ReferencedSOPSequence.append(item)
    entity = AE(ae_title="PACS")
    entity.add_requested_context(StorageCommitmentPushModel)
    association = entity.associate("127.0.0.1", port, ae_title="SENOSCOPE")
    status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, COMMITMENT)
    association.release()
    return int(status.Status)


def test_results_come_back_once_and_the_log_names_nobody(gateway, receiver, parts, pixels):
    exams = parts.study(pixels, COUNT)
    study = exams[0].StudyInstanceUID
    assert parts.send(gateway.port, exams) == [0, 0]
    assert commit(gateway.port, exams) == 0
    parts.wait_for(lambda: sum(map(len, receiver.of(study).values())) == 2 * COUNT)
    found = receiver.of(study)
    sources = {exam.SOPInstanceUID for exam in exams}
    referred = set()
    for segmentation in found["SEG"]:
        (series,) = segmentation.ReferencedSeriesSequence
        referred.add(series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID)
        assert segmentation.pixel_array.sum() == pytest.approx(3.14159 * 40**2, rel=0.1)  # the disc drawn
    assert referred == sources
    assert {report.PatientID for report in found["SR"]} == {parts.PATIENT}
    assert parts.send(gateway.port, exams) == [0, 0]  # the PACS routes them once more
    assert commit(gateway.port, exams) == 0
    time.sleep(1.5)
    assert {receiver.times[o.SOPInstanceUID] for kind in found.values() for o in kind} == {1}
    log = gateway.log.read_text()
    values = [parts.PATIENT, *parts.NAME.split("^"), "19700203", *sources, study]
    assert "DEBUG" in log
    assert not [value for value in values if value in log]


def test_storage_commitment_is_answered(gateway, receiver, parts, pixels):
    exams = parts.study(pixels, 2)
    before = len(receiver.reports)
    assert parts.send(gateway.port, exams[:1]) == [0]
    assert commit(gateway.port, exams[:1]) == 0
    assert commit(gateway.port, exams) == 0
    parts.wait_for(lambda: len(receiver.reports) == before + 2)
    told = dict(receiver.reports[before:])
    (kept,) = told[1].ReferencedSOPSequence
    assert kept.ReferencedSOPInstanceUID == exams[0].SOPInstanceUID
    (failed,) = told[2].FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (exams[1].SOPInstanceUID, 0x0112)


def test_a_source_that_is_asked_says_when_a_series_is_complete(gateway, receiver, parts, pixels):
    exams = parts.study(pixels, COUNT)
    assert parts.send(gateway.port, exams[:1], calling="SOURCE") == [0]
    time.sleep(1.5)
    assert not receiver.of(exams[0].StudyInstanceUID)
    assert parts.send(gateway.port, exams[1:], calling="SOURCE") == [0]
    parts.wait_for(lambda: len(receiver.of(exams[0].StudyInstanceUID).get("SR", ())) == COUNT)


def test_an_image_that_cannot_be_decoded_is_answered_with_a_report(gateway, receiver, parts, pixels):
    (exam,) = parts.study(pixels, 1)
    exam.PixelData = exam.PixelData[:1000]
    assert parts.send(gateway.port, [exam]) == [0]
    assert commit(gateway.port, [exam]) == 0
    found = parts.wait_for(lambda: receiver.of(exam.StudyInstanceUID))
    assert list(found) == ["SR"]
    assert "the image" in found["SR"][0].to_json()


def test_a_study_that_mixes_patients_is_answered_only_when_it_is_released(
    gateway, receiver, parts, pixels, capsys
):
    first, second = parts.study(pixels, 2)
    second.PatientID = "OTHER"
    (sound,) = parts.study(pixels, 1)
    assert parts.send(gateway.port, [first, second, sound]) == [0, 0, 0]
    assert commit(gateway.port, [first, second, sound]) == 0
    parts.wait_for(lambda: len(receiver.of(sound.StudyInstanceUID).get("SR", ())) == 1)
    assert not receiver.of(first.StudyInstanceUID)
    code, told = verb(gateway, capsys, "dead-letters")
    assert code == 1
    assert "2 object(s) of a study that mixes patients" in told
    code, told = verb(gateway, capsys, "quarantine", "list")
    assert code == 1
    assert told.count(".dcm") == 2
    verb(gateway, capsys, "quarantine", "release", told.partition(":")[0])
    parts.wait_for(lambda: len(receiver.of(first.StudyInstanceUID).get("SR", ())) == 2)
    assert {report.PatientID for report in receiver.of(first.StudyInstanceUID)["SR"]} == {
        "OTHER",
        parts.PATIENT,
    }
    assert verb(gateway, capsys, "quarantine", "list")[0] == 0


def test_what_a_destination_refuses_is_a_dead_letter_until_it_is_replayed(
    gateway, receiver, parts, pixels, capsys
):
    receiver.status = 0xA700
    (exam,) = parts.study(pixels, 1)
    assert parts.send(gateway.port, [exam]) == [0]
    assert commit(gateway.port, [exam]) == 0
    letters = gateway.data / "dead-letters"
    letter = parts.wait_for(lambda: list(letters.glob("send-*")))[0]
    assert "0xA700" in json.loads((letter / "reason.json").read_text())["error"]
    assert len(list(letter.glob("*.dcm"))) == 2
    told = verb(gateway, capsys, "dead-letters")[1]
    assert "send:pacs" in told
    assert "0xA700" in told
    receiver.status = 0
    assert "1 dead letter(s)" in verb(gateway, capsys, "replay")[1]
    assert not letter.exists()
    found = parts.wait_for(
        lambda: len(receiver.of(exam.StudyInstanceUID)) == 2 and receiver.of(exam.StudyInstanceUID)
    )
    assert {receiver.times[o.SOPInstanceUID] for kind in found.values() for o in kind} == {1}

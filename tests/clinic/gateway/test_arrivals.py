"""Rows 30 to 33 of the list of bad inputs, and a full disk: what is kept, and what is recorded of it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from senoscope._locks import locked
from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.intake import Verdict
from senoscope.clinic.gateway.arrivals import Arrivals
from senoscope.clinic.gateway.completeness import queue_complete
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.quarantine import quarantined
from senoscope.clinic.gateway.tables import OBJECTS
from senoscope.clinic.service.blobs import DiskFullError
from senoscope.clinic.service.database import reading
from senoscope.errors import ImageError, LockedError

pytestmark = pytest.mark.filterwarnings(
    "ignore:Invalid value for VR UI", "ignore:The value length"
)  # on purpose


def rows(queue) -> list[tuple[str, str]]:
    with reading(queue.engine) as connection:
        return [(row.instance, row.state) for row in connection.execute(select(OBJECTS))]


def stored(arrivals: Arrivals) -> list[Path]:
    return sorted(path for path in arrivals.folders.root.rglob("*.dcm"))


def test_row_30_other_content_under_the_same_identifier_leaves_the_first(receive, arrivals, queue):
    assert receive(1) == Verdict.NEW
    (first,) = stored(arrivals)
    before = first.read_bytes()
    assert receive(1, SeriesDescription="another") == Verdict.CONFLICT
    assert stored(arrivals) == [first]
    assert first.read_bytes() == before
    assert len(rows(queue)) == 1


def test_row_31_the_same_object_again_is_no_second_job(receive, queue):
    assert [receive(1), receive(1)] == [Verdict.NEW, Verdict.SAME]
    assert queue_complete(queue, quiet_s=0) == 1
    assert receive(1) == Verdict.SAME
    assert queue_complete(queue, quiet_s=0) == 0
    assert queue.counts()["queued"] == 1


def test_row_31_whatever_software_wrote_the_header(receive, parts, arrivals, pixels):
    assert receive(1) == Verdict.NEW
    again = parts.exam(pixels, 1)
    again.file_meta.ImplementationVersionName = "OTHER_1"
    path = arrivals.folders.incoming / "again"
    again.save_as(path, enforce_file_format=True)
    assert arrivals.receive(path, "PACS") == Verdict.SAME


def test_row_32_a_second_patient_puts_the_study_in_quarantine(receive, queue, arrivals):
    assert receive(1) == Verdict.NEW
    assert receive(2, PatientID="OTHER") == Verdict.MIXED
    assert receive(3) == Verdict.MIXED  # the first patient's too: nobody knows whose study it is
    assert {state for _, state in rows(queue)} == {"quarantined"}
    assert queue_complete(queue, quiet_s=0) == 0
    held = quarantined(queue.engine, arrivals.folders)
    assert {study: sorted(files) for study, files in held.items()} == {
        identity.study_folder("1.2.826.0.1.77.1"): stored(arrivals)  # acknowledged, so kept
    }
    assert len(stored(arrivals)) == 3


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2..3", "1.02.3", "1." + "2" * 70, "abc"])
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_row_33_an_illegal_uid_is_refused_and_names_no_file(receive, arrivals, queue, keyword, uid, tmp_path):
    with pytest.raises(ImageError) as raised:
        receive(1, **{keyword: uid})
    assert uid not in str(raised.value)
    assert rows(queue) == []
    assert [path for path in tmp_path.rglob("*") if "etc" in path.name or "passwd" in path.name] == []


def test_row_33_a_patient_id_that_is_a_path_is_only_text(receive, arrivals):
    assert receive(1, PatientID="../../../tmp/x") == Verdict.NEW
    (path,) = stored(arrivals)
    assert path.parent == arrivals.folders.objects
    assert path.name.startswith(identity.short("1.2.826.0.1.77.1.1.1"))


def test_an_object_that_is_not_the_one_announced_is_refused(receive):
    with pytest.raises(ImageError):
        receive(1, announced="1.2.3")


def test_row_38_a_class_that_was_not_negotiated_does_not_slip_in(receive):
    with pytest.raises(ImageError):
        receive(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")  # secondary capture


def test_below_the_reserve_nothing_is_taken(queue, parts, pixels, tmp_path):
    full = Arrivals(queue.engine, Folders(tmp_path / "data"), reserve=1 << 60)
    path = full.folders.incoming / "x"
    parts.exam(pixels).save_as(path, enforce_file_format=True)
    with pytest.raises(DiskFullError):
        full.receive(path, "PACS")
    assert rows(queue) == []


def test_a_disk_that_fills_up_while_syncing_is_told_as_such(receive, queue, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError):
            receive(1)
    assert rows(queue) == []
    assert receive(1) == Verdict.NEW  # there is room again, and the ledger still works


def test_senders_at_once_are_all_recorded_once(receive, queue):
    verdicts: list[Verdict] = []
    threads = [
        threading.Thread(target=lambda n=number: verdicts.append(receive(n % 10))) for number in range(1, 41)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdicts) == [Verdict.NEW] * 10 + [Verdict.SAME] * 30
    assert len(rows(queue)) == 10


def test_a_series_is_complete_when_it_is_quiet_or_has_what_its_source_says(receive, queue):
    from senoscope.clinic.gateway.completeness import expect, wait_no_longer

    receive(1)
    receive(2)
    assert queue_complete(queue, quiet_s=60) == 0
    series = identity.short("1.2.826.0.1.77.1.1")
    expect(queue.engine, series, 3)
    assert queue_complete(queue, quiet_s=60) == 0
    receive(3)
    assert queue_complete(queue, quiet_s=60) == 3
    receive(4, SeriesInstanceUID="1.2.826.0.1.77.1.2")
    assert queue_complete(queue, quiet_s=60) == 0
    wait_no_longer(queue.engine, [identity.short("1.2.826.0.1.77.1.1.4")])
    assert queue_complete(queue, quiet_s=60) == 1


def test_what_was_left_half_received_is_swept(arrivals):
    left = arrivals.folders.incoming / "tmp123.dcm"
    left.write_bytes(b"x")
    assert arrivals.sweep() == 0  # perhaps somebody is still sending it
    assert arrivals.sweep(older_s=0) == 1
    assert not left.exists()


def test_two_gateways_cannot_share_a_folder(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(LockedError), locked(tmp_path / "lock"):
        pass
    with locked(tmp_path / "lock"):
        pass

"""Out of quarantine: released by somebody who has looked, or discarded."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.intake import Verdict
from senoscope.clinic.gateway.completeness import ANALYZE, queue_complete
from senoscope.clinic.gateway.jobs import send_kind
from senoscope.clinic.gateway.pipeline import Work
from senoscope.clinic.gateway.quarantine import discard, is_quarantined, quarantined, release
from senoscope.clinic.gateway.send import send_results
from senoscope.clinic.gateway.tables import OBJECTS
from senoscope.clinic.service.database import reading
from senoscope.clinic.service.jobs import DONE, JOBS
from senoscope.errors import UsageError

STUDY = identity.study_folder("1.2.826.0.1.77.1")


@pytest.fixture
def mixed(receive) -> None:
    assert [receive(1), receive(2, PatientID="OTHER")] == [Verdict.NEW, Verdict.MIXED]


def test_a_released_study_goes_its_way_whoever_it_names(mixed, receive, queue, arrivals):
    assert queue_complete(queue, quiet_s=0) == 0
    release(queue.engine, STUDY)
    assert quarantined(queue.engine, arrivals.folders) == {}
    assert queue_complete(queue, quiet_s=3600) == 2  # complete: there is nothing to wait for
    assert [receive(3), receive(4, PatientID="OTHER"), receive(5, PatientID="THIRD")] == [Verdict.NEW] * 3


def test_what_was_under_way_when_it_was_held_back_is_done_after_all(receive, queue, config):
    receive(1)
    receive(2)
    queue_complete(queue, quiet_s=0)
    first = queue.claim([ANALYZE], "w")
    with queue.completing(first) as connection:  # analysed, and about to be sent
        queue.enqueue(send_kind("pacs"), first.key, {"study": STUDY, "files": ["x"]}, connection)
    receive(3, PatientID="OTHER")
    with reading(queue.engine) as connection:
        assert is_quarantined(connection, STUDY)
    Work(config, queue, analyzer=None).do(queue.claim([ANALYZE], "w"))
    send_results(config, queue, config.destinations[0], queue.claim([send_kind("pacs")], "w"))
    with reading(queue.engine) as connection:
        assert set(connection.execute(select(JOBS.c.state)).scalars()) == {DONE}  # to no effect
    release(queue.engine, STUDY)
    assert queue.claim([send_kind("pacs")], "w").key == first.key
    assert queue_complete(queue, quiet_s=3600) == 2  # the second, which was held back, and the third
    again = {queue.claim([ANALYZE], "w").key for _ in range(2)}
    assert again == {identity.short(f"1.2.826.0.1.77.1.1.{number}") for number in (2, 3)}


def test_a_discarded_study_is_gone_and_may_come_again(mixed, receive, queue, arrivals):
    discard(queue.engine, arrivals.folders, STUDY)
    assert list(arrivals.folders.objects.iterdir()) == []
    with reading(queue.engine) as connection:
        assert connection.execute(select(OBJECTS)).all() == []
    assert [receive(1, PatientID="RIGHT"), receive(2, PatientID="RIGHT")] == [Verdict.NEW, Verdict.NEW]


def test_only_what_is_in_quarantine_can_be_let_out(receive, queue, arrivals):
    receive(1)
    for study in (STUDY, "0" * 16):
        with pytest.raises(UsageError):
            release(queue.engine, study)
        with pytest.raises(UsageError):
            discard(queue.engine, arrivals.folders, study)
    assert len(list(arrivals.folders.objects.iterdir())) == 1

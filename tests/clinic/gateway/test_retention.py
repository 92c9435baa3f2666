"""What is deleted, when, and what is not: studies that were delivered, and no others."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.intake import Verdict
from senoscope.clinic.gateway import ledger, retention
from senoscope.clinic.gateway.completeness import ANALYZE, queue_complete
from senoscope.clinic.gateway.config import Config
from senoscope.clinic.gateway.jobs import send_kind
from senoscope.clinic.gateway.tables import OBJECTS, SENT, SERIES, STUDIES
from senoscope.clinic.service.database import insert_new, reading, writing
from senoscope.clinic.service.jobs import JOBS

DAY_S = 86_400.0
STUDY = identity.study_folder("1.2.826.0.1.77.1")
OTHER = {"StudyInstanceUID": "1.2.826.0.1.78.1", "SeriesInstanceUID": "1.2.826.0.1.78.1.1"}


@pytest.fixture
def month(config) -> Config:
    return config.model_copy(update={"keep_days": 30.0})


@pytest.fixture
def work(queue, arrivals):
    """Analyse, and send if told to, whatever is complete, as the gateway's processes would."""

    def run(*, send: bool = True) -> None:
        queue_complete(queue, quiet_s=0)
        while (job := queue.claim([ANALYZE], "w")) is not None:
            with reading(queue.engine) as connection:
                study = connection.execute(
                    select(OBJECTS.c.study).where(OBJECTS.c.instance == job.key)
                ).scalar_one()
            file = f"{study}/{job.key}-sr.dcm"
            (arrivals.folders.results / study).mkdir(exist_ok=True)
            (arrivals.folders.results / file).write_bytes(b"result")
            with queue.completing(job) as connection:
                queue.enqueue(send_kind("pacs"), job.key, {"study": study, "files": [file]}, connection)
        while send and (job := queue.claim([send_kind("pacs")], "w")) is not None:
            for file in job.payload["files"]:
                with writing(queue.engine) as connection:
                    insert_new(connection, SENT, {"destination": "pacs", "file": file, "sent": time.time()})
            queue.complete(job)

    return run


@pytest.fixture
def later(monkeypatch):
    """Sets the clock of the deletion so many days ahead."""

    def run(days: float) -> None:
        real = time.time
        monkeypatch.setattr(retention.time, "time", lambda: real() + days * DAY_S)

    yield run
    monkeypatch.undo()


def left(queue, folders) -> tuple[int, int]:
    """Files of images and results, and rows of any table."""
    files = [path for folder in (folders.objects, folders.results) for path in folder.rglob("*")]
    with reading(queue.engine) as connection:
        rows = [connection.execute(select(table)).all() for table in (OBJECTS, SERIES, STUDIES, SENT, JOBS)]
    return len(files), sum(map(len, rows))


def test_a_delivered_study_is_deleted_when_its_time_has_come(month, queue, arrivals, receive, work, later):
    receive(1)
    receive(2)
    work()
    later(29.9)
    assert retention.remove_delivered(month, queue) == 0
    assert left(queue, arrivals.folders)[0] == 5  # two images, a folder with two results
    later(0.2)
    assert retention.remove_delivered(month, queue) == 1
    assert left(queue, arrivals.folders) == (0, 0)
    assert not arrivals.holds("1.2.826.0.1.77.1.1.1")  # so storage commitment says that it is not here
    assert receive(1) == Verdict.NEW


def test_for_ever_is_the_default(config, queue, arrivals, receive, work, later):
    receive(1)
    work()
    later(10_000)
    assert retention.remove_delivered(config, queue) == 0
    assert left(queue, arrivals.folders)[0] == 3


@pytest.mark.parametrize("why", ["not complete", "not sent", "dead letter", "quarantine", "one came lately"])
def test_what_is_not_done_with_stays(why, month, queue, arrivals, receive, work, later):
    receive(1)
    if why == "quarantine":
        receive(2, PatientID="OTHER")
    if why == "dead letter":
        queue_complete(queue, quiet_s=0)
        queue.fail(queue.claim([ANALYZE], "w"), "it failed", final=True)
    elif why != "not complete":
        work(send=why != "not sent")
    later(31)
    if why == "one came lately":
        retention.time.sleep(0.01)
        receive(2)  # the ledger's clock is the same module's: it is received a month later
        work()
    before = left(queue, arrivals.folders)
    assert retention.remove_delivered(month, queue) == 0
    assert left(queue, arrivals.folders) == before


def test_other_studies_are_left_alone(month, queue, arrivals, receive, work, later):
    receive(1)
    work()
    receive(2, **OTHER)
    later(31)
    assert retention.remove_delivered(month, queue) == 1
    with reading(queue.engine) as connection:
        (row,) = connection.execute(select(OBJECTS)).all()
    assert row.study == identity.study_folder(OTHER["StudyInstanceUID"])
    assert arrivals.folders.object(row.instance, row.content).exists()


def test_an_object_that_is_deleted_while_it_comes_again_is_not_acknowledged(
    month, queue, arrivals, receive, work, later, monkeypatch
):
    receive(1)
    work()
    later(31)
    real = ledger.sync_folder

    def sync(folder) -> None:  # between the file's arrival and its record
        real(folder)
        retention.remove_delivered(month, queue)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "sync_folder", sync)
        with pytest.raises(FileNotFoundError):
            receive(1)
    assert left(queue, arrivals.folders) == (0, 0)
    assert receive(1) == Verdict.NEW


def test_a_running_gateway_deletes(start, receiver, parts, pixels):
    gateway = start(keep_days=1e-5)
    assert parts.send(gateway.port, parts.study(pixels, 1)) == [0]
    parts.wait_for(lambda: len(receiver.objects) == 2)
    assert gateway.stop() == 0
    assert list((gateway.data / "objects").iterdir())
    time.sleep(1e-5 * DAY_S)
    gateway = start(keep_days=1e-5)  # it looks when it starts, then every minute
    parts.wait_for(lambda: not list((gateway.data / "objects").iterdir()))
    parts.wait_for(lambda: not list((gateway.data / "results").iterdir()))
    assert gateway.stop() == 0

"""Asking a source how many objects a series has (C-FIND, DICOM PS3.4 annex C), so as not to wait for silence."""

from __future__ import annotations

import logging

from pydicom import Dataset
from pynetdicom import sop_class
from sqlalchemy import select

from senoscope.clinic.dicom.source import read_source
from senoscope.clinic.gateway.completeness import COUNT, expect
from senoscope.clinic.gateway.config import Config, Peer
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import DeliveryError
from senoscope.clinic.gateway.outward import associated
from senoscope.clinic.gateway.tables import OBJECTS, SERIES, WAITING
from senoscope.clinic.service.database import reading, writing
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.queue import Queue

_LOG = logging.getLogger("senoscope.clinic.gateway.query")
_FIND = sop_class.StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]


def queue_questions(config: Config, queue: Queue) -> None:
    """Note a question for every open series whose source is to be asked."""
    titles = [peer.ae_title for peer in config.peers if peer.query]
    if not titles:
        return
    query = (
        select(OBJECTS.c.series, OBJECTS.c.peer, OBJECTS.c.instance, OBJECTS.c.content)
        .join(SERIES, SERIES.c.series == OBJECTS.c.series)
        .where(OBJECTS.c.state == WAITING, OBJECTS.c.peer.in_(titles), SERIES.c.expected.is_(None))
        .group_by(OBJECTS.c.series)
    )
    with reading(queue.engine) as connection:
        rows = connection.execute(query).all()
    for row in rows:
        with writing(queue.engine) as connection:
            payload = {
                "peer": row.peer,
                "instance": row.instance,
                "content": row.content,
                "series": row.series,
            }
            queue.enqueue(COUNT, row.series, payload, connection)


def ask(config: Config, queue: Queue, job: Job) -> None:
    """Ask and note the answer, then end the job. Without one the quiet time decides, so nothing is tried twice."""
    peer = config.peer(job.payload["peer"])
    place = Folders(config.data_dir).object(job.payload["instance"], job.payload["content"])
    count = _count(config, peer, read_source(place).header) if peer is not None else None
    if count is None:
        _LOG.warning("%s did not say how many objects a series has", job.payload["peer"])
    else:
        expect(queue.engine, job.payload["series"], count)
    queue.complete(job)


def _count(config: Config, peer: Peer, header: Dataset) -> int | None:
    question = Dataset()
    question.QueryRetrieveLevel = "SERIES"
    question.StudyInstanceUID, question.SeriesInstanceUID = header.StudyInstanceUID, header.SeriesInstanceUID
    question.NumberOfSeriesRelatedInstances = ""
    try:
        with associated(config.node.ae_title, peer, [_FIND]) as association:
            found = [answer for _, answer in association.send_c_find(question, _FIND) if answer is not None]
        return int(found[0].NumberOfSeriesRelatedInstances) if len(found) == 1 else None
    except (DeliveryError, AttributeError, TypeError, ValueError):  # no answer, or not to what was asked
        return None

"""Storage commitment (DICOM PS3.4 annex J): a peer asks whether its objects are safe here, and is told.

The request is kept as a job; the answer goes out on an association of our own, to the host and port that the
configuration gives for that peer.
"""

from __future__ import annotations

from pydicom import Dataset
from pynetdicom import build_role
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]
from sqlalchemy import select

from senoscope.clinic.dicom import identity
from senoscope.clinic.gateway.completeness import wait_no_longer
from senoscope.clinic.gateway.config import Config
from senoscope.clinic.gateway.jobs import DeliveryError
from senoscope.clinic.gateway.outward import associated
from senoscope.clinic.gateway.tables import OBJECTS
from senoscope.clinic.service.database import reading
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.queue import Queue

COMMIT = "commit"
"""The queue's jobs that answer a peer's request for storage commitment."""

NO_SUCH_OBJECT = 0x0112
_WELL_KNOWN = "1.2.840.10008.1.20.1.1"


def note_request(config: Config, queue: Queue, ae_title: str, asked: Dataset) -> bool:
    """Keep a request; ``False`` if there is nowhere to answer it. Raises whatever a malformed one causes.

    A sender asks when it has sent everything: if all of it is here, its series are complete.
    """
    peer = config.peer(ae_title)
    if peer is None or peer.host is None:
        return False
    transaction = str(asked.TransactionUID)
    items = [
        [str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)]
        for item in asked.ReferencedSOPSequence
    ]
    payload = {"peer": peer.ae_title, "transaction": transaction, "items": items}
    queue.enqueue(COMMIT, identity.short(peer.ae_title + transaction), payload)
    instances = [identity.short(uid) for _, uid in items]
    if len(_held(queue, instances)) == len(set(instances)):
        wait_no_longer(queue.engine, instances)
    return True


def answer_request(config: Config, queue: Queue, job: Job) -> None:
    """Tell the peer which of its objects are kept, then end the job. Raises ``DeliveryError``."""
    peer = config.peer(job.payload["peer"])
    if peer is None:
        raise DeliveryError(f"{job.payload['peer']} is no peer any more")
    report, kind = _report(queue, job)
    role = build_role(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    with associated(config.node.ae_title, peer, [StorageCommitmentPushModel], [role]) as association:
        answer, _ = association.send_n_event_report(report, kind, StorageCommitmentPushModel, _WELL_KNOWN)
    if answer.get("Status") != 0:
        raise DeliveryError(f"{peer.ae_title} did not take the answer on storage commitment")
    queue.complete(job)


def _report(queue: Queue, job: Job) -> tuple[Dataset, int]:
    """The event's content and type: 1 if everything is here, 2 if something is not (PS3.4 table J.3-3)."""
    items = job.payload["items"]
    held = _held(queue, [identity.short(uid) for _, uid in items])
    report = Dataset()
    report.TransactionUID = job.payload["transaction"]
    kept = [_item(*item) for item in items if identity.short(item[1]) in held]
    missing = [_item(*item) for item in items if identity.short(item[1]) not in held]
    for item in missing:
        item.FailureReason = NO_SUCH_OBJECT
    if kept:
        report.ReferencedSOPSequence = kept
    if missing:
        report.FailedSOPSequence = missing
    return report, 2 if missing else 1


def _item(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    return item


def _held(queue: Queue, instances: list[str]) -> set[str]:
    held: set[str] = set()
    with reading(queue.engine) as connection:
        for start in range(0, len(instances), 500):  # SQLite limits the variables of a statement
            part = OBJECTS.c.instance.in_(instances[start : start + 500])
            held |= set(connection.execute(select(OBJECTS.c.instance).where(part)).scalars())
    return held

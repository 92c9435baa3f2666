"""Sending results: C-STORE or STOW-RS, each object until it was acknowledged, and not again after that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import select

from senoscope.clinic.gateway.config import Config, Destination
from senoscope.clinic.gateway.dicomweb import open_client
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import DeliveryError
from senoscope.clinic.gateway.outward import associated
from senoscope.clinic.gateway.quarantine import is_quarantined
from senoscope.clinic.gateway.tables import SENT
from senoscope.clinic.service.database import insert_new, reading, writing
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.queue import Queue

_WARNINGS = (0xB000, 0xB006, 0xB007)
"""Statuses of C-STORE that mean "stored, but" (PS3.4 table B.2-1)."""


def send_results(config: Config, queue: Queue, destination: Destination, job: Job) -> None:
    """Send what a job names and ``destination`` has not acknowledged yet, then end the job.

    Results of a study that turned out to mix patients are not sent. Raises ``DeliveryError`` if any object was not
    taken; the others were sent nevertheless.
    """
    results = Folders(config.data_dir).results
    with reading(queue.engine) as connection:
        done = select(SENT.c.file).where(SENT.c.destination == destination.name)
        held_back = is_quarantined(connection, str(job.payload["study"]))
        sent = set(connection.execute(done.where(SENT.c.file.in_(job.payload["files"]))).scalars())
    left = [] if held_back else [results / file for file in job.payload["files"] if file not in sent]
    taken = _stow(destination, left) if destination.stow else _store(config.node.ae_title, destination, left)
    for path in taken:
        row = {
            "destination": destination.name,
            "file": path.relative_to(results).as_posix(),
            "sent": time.time(),
        }
        with writing(queue.engine) as connection:
            insert_new(connection, SENT, row)
    queue.complete(job)


def _store(calling: str, destination: Destination, paths: Sequence[Path]) -> Iterator[Path]:
    """Send by C-STORE; yields every file that was acknowledged, as soon as it was."""
    if not paths:
        return
    classes = {dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID for path in paths}
    refusals = []
    with associated(calling, destination, classes) as association:
        for path in paths:
            try:
                status = association.send_c_store(dcmread(path)).get("Status")
            except ValueError:  # this class was not accepted; others may have been
                status = 0x0122
            if status == 0 or status in _WARNINGS:
                yield path
            else:
                refusals.append("no answer" if status is None else f"status 0x{status:04X}")
    if refusals:
        raise DeliveryError(f"{destination.name} did not take {len(refusals)} object(s): {refusals[0]}")


def _stow(destination: Destination, paths: Sequence[Path]) -> Iterator[Path]:
    """Send by STOW-RS; yields every file that was acknowledged, as soon as it was."""
    import requests

    assert destination.stow is not None  # noqa: S101 - chosen by the caller
    client = open_client(destination.stow, destination.authorization_env, destination.tls) if paths else None
    refusals = []
    for path in paths:
        try:
            answer = client.store_instances([dcmread(path)])  # type: ignore[union-attr]
        except requests.HTTPError as error:
            refusals.append("no answer" if error.response is None else f"status {error.response.status_code}")
        except requests.RequestException as error:
            raise DeliveryError(f"{destination.name} cannot be reached ({type(error).__name__})") from None
        else:
            failed = answer.get("FailedSOPSequence")
            if failed:
                refusals.append(f"reason 0x{int(failed[0].get('FailureReason', 0)):04X}")
            else:
                yield path
    if refusals:
        raise DeliveryError(f"{destination.name} did not take {len(refusals)} object(s): {refusals[0]}")

"""Taking jobs off the gateway's queue, one at a time, whatever becomes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from senoscope.clinic.gateway import tables  # noqa: F401 - declares what opening the database creates
from senoscope.clinic.gateway.config import Config
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.service.database import open_database
from senoscope.clinic.service.errors import LostLeaseError
from senoscope.clinic.service.heartbeat import kept_alive
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.logs import where
from senoscope.clinic.service.queue import Queue
from senoscope.errors import SenoscopeError

_LOG = logging.getLogger("senoscope.clinic.gateway.jobs")


class DeliveryError(SenoscopeError):
    """A peer or destination did not take what was meant for it. The text holds nothing of a patient."""


def send_kind(destination: str) -> str:
    """The queue's jobs that send an image's results to one destination."""
    return f"send:{destination}"


def make_queue(config: Config) -> Queue:
    """The gateway's queue, opened by whichever process needs it."""
    retry = config.retry
    engine = open_database(Folders(config.data_dir).database_url)
    return Queue(engine, max_attempts=retry.attempts, backoff_s=(retry.first_s, retry.longest_s))


def attempt_next(queue: Queue, kinds: Sequence[str], worker: str, work: Callable[[Job], None]) -> bool:
    """Claim a job that is due and do it; ``False`` if there was none. ``work`` ends the job if all goes well.

    Whatever ``work`` raises gives the job back, to be tried again later.
    """
    try:
        job = queue.claim(kinds, worker)
        if job is None:
            return False
        try:
            with kept_alive(queue, job):
                work(job)
        except LostLeaseError:
            _LOG.info("a result came too late and was dropped: another process has the job")
        except Exception as error:  # one job must not stop the others
            _give_back(queue, job, str(error) if isinstance(error, DeliveryError) else where(error))
    except SQLAlchemyError as error:
        _LOG.warning("the database cannot be used (%s)", type(error).__name__)
        return False
    return True


def _give_back(queue: Queue, job: Job, why: str) -> None:
    if queue.fail(job, why):
        _LOG.error("%s was tried %d times and is a dead letter: %s", job.kind, job.attempts, why)
    else:
        _LOG.warning("%s failed and is tried again later: %s", job.kind, why)

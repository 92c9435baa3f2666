"""A running gateway: its parts put together, started and stopped in order."""

from __future__ import annotations

import hashlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from sqlalchemy.exc import SQLAlchemyError

from senoscope._locks import locked
from senoscope.clinic.gateway import letters, roles
from senoscope.clinic.gateway.arrivals import Arrivals
from senoscope.clinic.gateway.commitment import note_request
from senoscope.clinic.gateway.completeness import queue_complete
from senoscope.clinic.gateway.config import Config
from senoscope.clinic.gateway.dicomweb import authorization
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import make_queue
from senoscope.clinic.gateway.node import Node
from senoscope.clinic.gateway.query import queue_questions
from senoscope.clinic.gateway.retention import remove_delivered
from senoscope.clinic.gateway.tls import check_files
from senoscope.clinic.processes import Processes, Target
from senoscope.clinic.service.logs import configure_logs
from senoscope.clinic.service.queue import Queue
from senoscope.errors import MissingExtraError
from senoscope.inference.bundle import load_bundle

_LOG = logging.getLogger("senoscope.clinic.gateway")
_TICK = 0.25
_UPKEEP_S, _DELETION_S = 5.0, 60.0
_HANG_UP_S, _DRAIN_S = 5.0, 23.0
"""How long peers, then our own processes, may finish what is under way: together less than 30 s."""


def run(config: Config, on_start: Callable[[int], None]) -> None:
    """Receive, analyse and send until SIGTERM or SIGINT; ``on_start`` gets the port.

    Raises ``ConfigError``, ``BundleError``, ``MissingExtraError`` or ``UsageError`` for a gateway that cannot be
    started, and ``LockedError`` if another one uses the data folder.
    """
    configure_logs(logging.getLevelName(config.log_level.upper()))
    _need_highdicom()
    load_bundle(config.analysis.bundle)
    for part in (*config.destinations, *([config.poll] if config.poll else ())):
        authorization(part.authorization_env)
    check_files(config)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    folders = Folders(config.data_dir)
    folders.make()
    with locked(folders.root / "gateway.lock"):
        _serve(config, folders, on_start, ending)


def _need_highdicom() -> None:
    """The workers write objects with it; importing it here only to see that it is there would cost memory."""
    if find_spec("highdicom") is None:
        raise MissingExtraError(
            "the gateway needs the Python package 'highdicom', which is not installed",
            fix="install Senoscope with its clinic extra: pip install 'senoscope[clinic]'",
        )


def _serve(
    config: Config, folders: Folders, on_start: Callable[[int], None], ending: threading.Event
) -> None:
    queue = make_queue(config)
    arrivals = Arrivals(queue.engine, folders, reserve=config.node.reserve_mb * 1024**2)
    arrivals.sweep(0)
    node = Node(config, arrivals, partial(note_request, config, queue))
    place = hashlib.sha256(str(folders.root.resolve()).encode()).hexdigest()[:8]
    prefix = f"{socket.gethostname()}:{place}:"
    crew = Processes(_roles(config), queue, prefix=prefix, busy_s=config.analysis.timeout_s)
    port = node.start()
    try:
        crew.start()
        on_start(port)
        _look_after(config, queue, arrivals, ending)
    finally:
        _LOG.info("draining")
        node.stop(_HANG_UP_S)
        crew.stop(_DRAIN_S)


def _look_after(config: Config, queue: Queue, arrivals: Arrivals, ending: threading.Event) -> None:
    upkeep = deletion = 0.0
    while not ending.wait(_TICK):
        try:
            queue_questions(config, queue)
            queue_complete(queue, config.series.quiet_s)
            if time.monotonic() >= upkeep:
                letters.mirror(queue, arrivals.folders)
                arrivals.sweep()
                upkeep = time.monotonic() + _UPKEEP_S
            if time.monotonic() >= deletion:
                remove_delivered(config, queue)
                deletion = time.monotonic() + _DELETION_S
        except (SQLAlchemyError, OSError) as error:  # a disk that is full has room again one day
            _LOG.error("upkeep failed (%s) and is tried again", type(error).__name__)


def _roles(config: Config) -> dict[str, Target]:
    workers: dict[str, Target] = {
        f"worker-{n}": partial(roles.worker, config) for n in range(1, config.analysis.workers + 1)
    }
    return {**workers, "courier": partial(roles.courier, config)}

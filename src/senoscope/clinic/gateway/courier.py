"""The process that talks to others: sends results, answers storage commitment, asks and polls sources.

Every destination has a thread of its own, so that one that is down holds up nobody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

from senoscope._locks import locked
from senoscope.clinic.gateway.arrivals import Arrivals
from senoscope.clinic.gateway.commitment import COMMIT, answer_request
from senoscope.clinic.gateway.completeness import COUNT
from senoscope.clinic.gateway.config import Config
from senoscope.clinic.gateway.folders import Folders
from senoscope.clinic.gateway.jobs import attempt_next, make_queue, send_kind
from senoscope.clinic.gateway.poll import Poller
from senoscope.clinic.gateway.query import ask
from senoscope.clinic.gateway.send import send_results
from senoscope.clinic.processes import IDLE, is_told_to_stop
from senoscope.clinic.service.jobs import Job
from senoscope.clinic.service.queue import Queue

_LOOK = 0.5
_LAST_WORDS_S = 20.0

Work = Callable[[Job], None]


def run_courier(config: Config, pipe: Connection, name: str) -> None:
    """The process, until told to stop; it ends what is under way (see ``clinic.processes``)."""
    from pynetdicom import _config

    _config.LOG_HANDLER_LEVEL = "none"  # its handlers quote identifiers
    # The courier of a gateway that was killed may live a moment longer: two of them would send things twice.
    with locked(Folders(config.data_dir).root / "courier.lock", wait=True):
        _deliver(config, pipe, name)


def _deliver(config: Config, pipe: Connection, name: str) -> None:
    queue, ending = make_queue(config), threading.Event()
    lanes: dict[str, Work] = {
        send_kind(destination.name): partial(send_results, config, queue, destination)
        for destination in config.destinations
    }
    lanes |= {COMMIT: partial(answer_request, config, queue), COUNT: partial(ask, config, queue)}
    threads = [
        threading.Thread(target=_lane, args=(queue, kind, f"{name}{kind}", work, ending), daemon=True)
        for kind, work in lanes.items()
    ]
    if config.poll is not None:
        threads.append(threading.Thread(target=_poll, args=(config, queue, ending), daemon=True))
    for thread in threads:
        thread.start()
    pipe.send((IDLE, ""))
    while not is_told_to_stop(pipe, _LOOK):
        pass
    ending.set()
    end = time.monotonic() + _LAST_WORDS_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _lane(queue: Queue, kind: str, name: str, work: Work, ending: threading.Event) -> None:
    while not ending.is_set():
        if not attempt_next(queue, [kind], name, work):
            ending.wait(_LOOK)


def _poll(config: Config, queue: Queue, ending: threading.Event) -> None:
    assert config.poll is not None  # noqa: S101 - the thread is only started then
    reserve = config.node.reserve_mb * 1024**2
    poller = Poller(config.poll, Arrivals(queue.engine, Folders(config.data_dir), reserve=reserve))
    while not ending.is_set():
        poller.once()
        ending.wait(config.poll.every_s)

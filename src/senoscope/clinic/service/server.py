"""Running it: the socket, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator

import uvicorn

from senoscope.clinic.service.app import make_app
from senoscope.clinic.service.protocol import protocol_for
from senoscope.clinic.service.service import Service
from senoscope.clinic.service.settings import Settings, open_folders
from senoscope.errors import UsageError

_LOG = logging.getLogger("senoscope.clinic.server")
_M_ARENA_MAX = -8  # of malloc.h


class Server(uvicorn.Server):
    """uvicorn that drains before it stops: SIGTERM and SIGINT make it not ready, let work under way end, and exit 0."""

    def __init__(self, config: uvicorn.Config, service: Service, on_start: Callable[[int], None]) -> None:
        super().__init__(config)
        self._service, self._on_start = service, on_start
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the loop, and do not raise them again when all is done (uvicorn would)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_to_stop)
        yield
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Bind, then say on which port."""
        await super().startup(None)
        self._on_start(self.servers[0].sockets[0].getsockname()[1])

    def _begin_to_stop(self) -> None:
        if self._draining is not None:
            self.should_exit = self.force_exit = True  # asked twice
            return
        _LOG.info("draining")
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        try:
            await self._service.drain()
        finally:
            self.should_exit = True


def serve(settings: Settings, on_start: Callable[[int], None]) -> None:
    """Serve until told to stop; ``on_start`` gets the port (the system's choice where ``settings.port`` is 0).

    Raises ``UsageError`` for an address that cannot be bound or a network without tokens, ``BundleError`` and
    ``ConfigError`` for a model or database that cannot be used.
    """
    _limit_heaps()
    _raise_file_limit()
    open_folders(settings.data_dir).lock(shared=settings.shared)
    service = Service(settings)
    tempfile.tempdir = str(service.blobs.incoming)  # uploads on their way are patients' data too: not in /tmp
    config = uvicorn.Config(
        make_app(service),
        host=settings.host,
        port=settings.port,
        http=protocol_for(service.gate, settings.head_timeout),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        backlog=1024,
        proxy_headers=False,
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = Server(config, service, on_start)
    try:
        asyncio.run(server.serve())
    except SystemExit:
        service.workers.stop(1.0)
        raise UsageError(
            f"{settings.host}:{settings.port} cannot be listened on",
            expected="an address of this machine and a free port",
            fix="choose another --port",
        ) from None
    finally:
        service.life.end()


def _limit_heaps() -> None:
    """Two heaps for all threads of this process, and of each worker.

    glibc gives threads heaps of their own, up to eight per core, and what is freed in one no other can use. Requests
    pass through some forty threads that come and go, so each heap fills with holes: with nothing leaked, the server
    grew by 18 MB in three minutes (benchmarks/clinic_overload.py). Source: mallopt(3), ``M_ARENA_MAX``.
    """
    most = os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # the workers read it when they start
    with contextlib.suppress(AttributeError, ValueError):  # another C library, which has no such heaps
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, int(most))


def _raise_file_limit() -> None:
    """As many sockets as the system allows: refused clients hold theirs for a moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

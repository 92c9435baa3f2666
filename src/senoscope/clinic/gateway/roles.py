"""What the gateway's other processes are; each loads only what it needs, the parent neither."""

from __future__ import annotations

from multiprocessing.connection import Connection

from senoscope.clinic.gateway.config import Config


def worker(config: Config, pipe: Connection, name: str) -> None:
    """Analyse images."""
    from senoscope.clinic.gateway.pipeline import run_worker

    run_worker(config, pipe, name)


def courier(config: Config, pipe: Connection, name: str) -> None:
    """Talk to destinations and sources."""
    from senoscope.clinic.gateway.courier import run_courier

    run_courier(config, pipe, name)

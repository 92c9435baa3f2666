"""Gateways in processes of their own, on loopback."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

for package in ("pynetdicom", "highdicom", "sqlalchemy", "dicomweb_client"):
    pytest.importorskip(package, reason="needs the [clinic] extra")

from senoscope.clinic.dicom.intake import Verdict  # noqa: E402 - where the extra is missing, all is skipped above
from senoscope.clinic.gateway.arrivals import Arrivals  # noqa: E402
from senoscope.clinic.gateway.config import Config, make_config  # noqa: E402
from senoscope.clinic.gateway.folders import Folders  # noqa: E402
from senoscope.clinic.gateway.jobs import make_queue  # noqa: E402
from senoscope.clinic.service.queue import Queue  # noqa: E402


def _load() -> ModuleType:
    if "gateway_parts" not in sys.modules:
        spec = importlib.util.spec_from_file_location("gateway_parts", Path(__file__).with_name("parts.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["gateway_parts"] = module
        spec.loader.exec_module(module)
    return sys.modules["gateway_parts"]


@pytest.fixture(scope="session")
def parts() -> ModuleType:
    return _load()


@pytest.fixture(scope="session")
def pixels(fake: ModuleType) -> NDArray[np.uint8]:
    """A picture in which the fake bundle finds one lesion."""
    return (fake.draw_exam((120, 130, 40, 0.02)) * 255).astype(np.uint8)


@pytest.fixture
def receiver(parts: ModuleType) -> Iterator[object]:
    made = parts.Receiver()
    yield made
    made.close()


@pytest.fixture
def start(parts: ModuleType, receiver, tmp_path: Path, fake_folder: Path) -> Iterator[Callable[..., object]]:
    """Starts a gateway on the test's data folder; whatever still runs at the end is killed."""
    started = []

    def run(**changes: object) -> object:
        started.append(parts.Gateway(tmp_path, parts.settings(receiver.port, str(fake_folder), **changes)))
        return started[-1]

    yield run
    for gateway in started:
        gateway.kill()


@pytest.fixture
def config(parts: ModuleType, tmp_path: Path) -> Config:
    return make_config({**parts.settings(1, "senoscope-us"), "data_dir": str(tmp_path / "data")})


@pytest.fixture
def queue(config: Config) -> Queue:
    Folders(config.data_dir).make()
    return make_queue(config)


@pytest.fixture
def arrivals(queue: Queue, tmp_path: Path) -> Arrivals:
    return Arrivals(queue.engine, Folders(tmp_path / "data"), reserve=0)


@pytest.fixture
def receive(parts: ModuleType, arrivals: Arrivals, pixels: NDArray[np.uint8]) -> Callable[..., Verdict]:
    """Take in ``exam(pixels, number, **changes)``."""

    def run(number: int = 1, announced: str | None = None, **changes: object) -> Verdict:
        path = arrivals.folders.incoming / f"{number}-{threading.get_ident()}"
        parts.exam(pixels, number, **changes).save_as(path, enforce_file_format=True)
        return arrivals.receive(path, "PACS", announced)

    return run


def openssl(*words: str, folder: Path) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.pem``, ``stranger.pem`` (another authority), and certificates with keys by ``ca``:
    ``server`` (for 127.0.0.1), ``client``, and ``elsewhere`` (for another host)."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("ca", "stranger"):
        usage = ("-addext", "keyUsage=critical,keyCertSign")
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(*new, "-subj", f"/CN={name}", *files, *usage, folder=folder)
    hosts = {"server": "IP:127.0.0.1", "client": "DNS:client.example", "elsewhere": "DNS:elsewhere.example"}
    for name, host in hosts.items():
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-CA", "ca.pem", "-CAkey", "ca.key")
        extras = ("-addext", f"subjectAltName={host}", "-addext", "basicConstraints=critical,CA:FALSE")
        openssl(*new, "-subj", f"/CN={name}", *files, *extras, folder=folder)
    return folder

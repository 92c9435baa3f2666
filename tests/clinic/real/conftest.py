"""The gateway between real parts: Orthanc as the PACS, DCMTK as the sender, OHIF in Chromium as the reader.

Run with ``SENOSCOPE_REAL_PARTS=1``; whatever program is missing skips its part and says so.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

for package in ("pynetdicom", "highdicom", "sqlalchemy", "dicomweb_client", "httpx"):
    pytest.importorskip(package, reason="needs the [clinic] and [dev] extras")

WANTED = os.environ.get("SENOSCOPE_REAL_PARTS") == "1"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real: needs Orthanc, DCMTK, validators or OHIF")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if WANTED:
        return
    real = [item for item in items if item.get_closest_marker("real")]
    items[:] = [item for item in items if item not in real]
    config.hook.pytest_deselected(items=real)


def load(name: str, path: Path) -> ModuleType:
    """A module by its path: tests are no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def parts() -> ModuleType:
    return load("gateway_parts", HERE.parent / "gateway" / "parts.py")


@pytest.fixture(scope="session")
def pixels(fake: ModuleType) -> NDArray[np.uint8]:
    """A picture in which the fake bundle finds one lesion: a disc of radius 40 at row 120, column 130."""
    return (fake.draw_exam((120, 130, 40, 0.02)) * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def ports() -> dict[str, int]:
    """Free ports of the parts, which must know each other's before they start."""
    import socket

    names = ("http", "dicom", "gateway", "poller")
    sockets = [socket.socket() for _ in names]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    for each in sockets:
        each.close()
    return found


@pytest.fixture(scope="session")
def orthanc(ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    module = load("real_orthanc", HERE / "orthanc.py")
    missing = module.missing()
    if missing:
        pytest.skip(missing)
    made = module.Orthanc(tmp_path_factory.mktemp("orthanc"), ports)
    yield made
    made.close()


@pytest.fixture(scope="session")
def ohif() -> ModuleType:
    return load("real_ohif", HERE / "ohif.py")


@pytest.fixture(scope="session")
def witness_of() -> object:
    """Makes a witness of a page."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright, of the [dev] extra")
    return load("real_witness", HERE / "witness.py").Witness

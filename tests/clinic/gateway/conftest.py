"""Gateways in processes of their own, on loopback."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

for package in ("pynetdicom", "highdicom", "sqlalchemy", "dicomweb_client"):
    pytest.importorskip(package, reason="needs the [clinic] extra")


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

"""Fixtures that several rooms share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module ``fake_bundle.py`` beside this file (tests are no package, so it is loaded by its path)."""
    pytest.importorskip("onnx", reason="needs the [train] extra")
    if "fake_bundle" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "fake_bundle", Path(__file__).with_name("fake_bundle.py")
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["fake_bundle"] = module
        spec.loader.exec_module(module)
    return sys.modules["fake_bundle"]


@pytest.fixture(scope="session")
def fake_folder(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fake bundle's folder; tests that change it make their own."""
    return fake.write_bundle(tmp_path_factory.mktemp("bundle") / "fake-us")

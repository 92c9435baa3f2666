"""Small recipes on simulated images, so that a training takes seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from senoscope.data.phantoms import write_dataset

    root = tmp_path_factory.mktemp("phantoms")
    write_dataset(root, 24, seed=5, size=96)
    return root


@pytest.fixture(scope="session")
def small(phantom_root: Path) -> dict[str, Any]:
    return {
        "name": "small",
        "data": [{"name": "phantoms", "root": str(phantom_root)}],
        "valid_fraction": 0.25,
        "preprocess": {"size": 64},
        "train_size": 64,
        "epochs": 3,
        "batch": 6,
        "precision": "32-true",
        "threads": 1,
    }

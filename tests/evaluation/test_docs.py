"""The reference pages name every figure and every column, and nothing else."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from senoscope.evaluation.columns import COLUMNS
from senoscope.evaluation.metrics import TITLES
from senoscope.evaluation.thresholds import TARGETS
from senoscope.schema import CLASSES

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


def named(page: str) -> set[str]:
    """Words in code style in the first column of the page's tables."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    first = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    words = {word for cell in first for word in re.findall(r"`([^`]+)`", cell)}
    return {word.replace("CLASS", name) for word in words for name in (CLASSES if "CLASS" in word else ("",))}


def test_every_figure_is_defined() -> None:
    assert named("metrics.md") == set(TITLES) | set(TARGETS)


def test_every_column_is_described() -> None:
    provenance = {"system", "split_hash", "stamps", "notes", "frozen", "machine"}
    assert named("prediction-table.md") - provenance == set(COLUMNS)


def test_robustness_page_shows_what_was_measured() -> None:
    pytest.importorskip("matplotlib", reason="needs the [train] extra")
    path = ROOT / "docs/make_robustness.py"
    spec = importlib.util.spec_from_file_location("make_robustness", path)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.page(maker.summaries()) == maker.PAGE.read_text(encoding="utf-8"), (
        "run docs/make_robustness.py"
    )

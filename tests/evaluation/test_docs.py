"""The reference pages name every figure and every column, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from senoscope.evaluation.columns import COLUMNS
from senoscope.evaluation.metrics import TITLES
from senoscope.evaluation.thresholds import TARGETS
from senoscope.schema import CLASSES

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


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

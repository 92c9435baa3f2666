"""The results table says what the figures say."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture
def maker(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("docs/make_results.py")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("accuracy", 0.93, "aim reached"),
        ("accuracy", 0.92, "aim reached"),
        ("accuracy", 0.90, "must reached"),
        ("accuracy", 0.8599, "**below must**"),
        ("ece", 0.029, "aim reached"),
        ("ece", 0.05, "must reached"),
        ("ece", 0.051, "**below must**"),
        ("analyze_ms_median", 61.0, "**below must**"),
        ("train_ratio_vs_plain", 1.31, "aim reached"),
    ],
)
def test_state_follows_the_direction_of_the_goal(
    maker: ModuleType, key: str, value: float, wanted: str
) -> None:
    row = next(row for row in maker.ROWS if row.key == key)
    assert maker.state(row, value) == wanted


def test_a_row_shows_value_interval_and_count(maker: ModuleType) -> None:
    leaf = {"value": 0.9042, "low": 0.8811, "high": 0.9257, "n": 776}
    line = maker.table({"busi_grouped_5fold": {"accuracy": leaf}}).splitlines()[2]
    assert "| **0.904** (0.881 to 0.926) | 776 | 0.860 | 0.920 | must reached |" in line


def test_what_no_file_holds_is_not_measured(maker: ModuleType) -> None:
    lines = maker.table({}).splitlines()[2:]
    assert len(lines) == len(maker.ROWS) == 15
    assert all(line.endswith("not measured |") for line in lines)


def test_only_the_marked_part_changes(maker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "read_results", dict)
    monkeypatch.setattr(maker, "notes", lambda: "")
    page = "before\n<!-- results:begin -->\nstale row\n<!-- results:end -->\nafter\n"
    new = maker.updated(page)
    assert new.startswith("before\n<!-- results:begin -->\n| Measure |")
    assert new.endswith("not measured |\n<!-- results:end -->\nafter\n")
    assert "stale" not in new

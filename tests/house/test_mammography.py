"""The page on mammograms shows what the files hold, and nothing that no file holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def maker(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("docs/make_mammography.py")


def leaf(value: float, n: int = 322) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": n}


RESULTS: dict[str, Any] = {
    "arms": {
        "films": {"what": "films", "always": "normal", "always_right": 0.643, "accuracy": leaf(0.61),
                  "auc_normal_rest": leaf(0.55)},
        "two-films": {"what": "two", "always": "benign", "always_right": 0.548,
                      "accuracy_benign_malignant": leaf(0.5, 115)},
        "outline-crops": {"what": "crops", "dice": leaf(0.5, 119), "dice_pooled": leaf(0.6, 119),
                          "missed": {"value": None, "low": None, "high": None, "n": 119}},
    },
    "prior_whole": leaf(0.1, 111),
    "prior_crops": leaf(0.4, 119),
}  # fmt: skip


def test_page_shows_what_was_measured(maker: ModuleType) -> None:
    text = maker.PAGE.read_text(encoding="utf-8")
    assert maker.updated(text) == text, "the tables are out of date: make docs"
    assert {found[1] for found in maker.BLOCK.findall(text)} == set(maker.PARTS)


def test_rows_hold_figure_interval_count_and_the_guess(maker: ModuleType) -> None:
    rows = list(maker.classes(RESULTS, {}))
    assert len(rows) == 4
    assert (
        rows[2] == "| films | 322 | **0.610** (0.56–0.66) | 0.643 (normal) | – | **0.550** (0.50–0.60) | – |"
    )
    assert rows[3].startswith("| two | 115 | **0.500** (0.45–0.55) | 0.548 (benign) |")
    outlines = list(maker.outlines(RESULTS, {}))
    assert "| crops | 119 | **0.500** (0.45–0.55) | **0.600** (0.55–0.65) | – |" in outlines
    assert outlines[-1].startswith("| One outline for all crops, no pixel looked at | 119 | **0.400**")


def test_what_no_file_holds_is_not_measured(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(maker, "PARTS", {"flowers": ((tmp_path / "none.json",), maker.flowers)})
    page = "before\n<!-- flowers:begin -->\n0.99 typed by hand\n<!-- flowers:end -->\nafter\n"
    assert maker.updated(page) == page.replace("0.99 typed by hand", "Not measured yet.")

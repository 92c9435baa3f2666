from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from shutil import copytree

import pytest

from senoscope.errors import BundleError, UsageError
from senoscope.inference.model_card import describe

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "src/senoscope/bundles/senoscope-us/card.json"


def test_the_page_is_the_cards() -> None:
    spec = importlib.util.spec_from_file_location("make_model_card", ROOT / "docs/make_model_card.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(), "make docs writes the page again"


def test_it_shows_what_the_card_holds() -> None:
    card = json.loads(CARD.read_text(encoding="utf-8"))
    found = describe("senoscope-us")
    page = found["page"]
    assert found["card"]["files"] == card["files"]
    assert card["research_use"] in page
    assert f"Temperature {card['calibration']['temperature']:.3f}" in page
    for figures in card["results"].values():
        for leaf in figures.values():
            assert f"{leaf['value']:.3f} | {leaf['low']:.3f}–{leaf['high']:.3f} | {leaf['n']:.0f}" in page


def test_a_bundles_folder_shows_its_card(tmp_path: Path) -> None:
    copytree(CARD.parent, tmp_path / "mine")
    found = describe(str(tmp_path / "mine"))
    assert found["card"] == describe("senoscope-us")["card"]
    assert found["page"].startswith("# senoscope-us\n\nThe system senoscope-us, trained: Light network")
    assert "## Limits" in found["page"]
    (tmp_path / "mine/weights.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError):
        describe(str(tmp_path / "mine"))


def test_a_wrong_name_is_told_the_right_one() -> None:
    with pytest.raises(UsageError, match="senoscope-us"):
        describe("senoscope-su")

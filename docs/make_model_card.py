"""Write ``docs/reference/model-card.md`` from the shipped bundle's ``card.json``. Run with ``make docs``."""

from __future__ import annotations

from pathlib import Path

from senoscope._files import write_text
from senoscope.inference.model_card import describe

PAGE = Path(__file__).resolve().parent / "reference/model-card.md"
NOTE = "<!-- Written by docs/make_model_card.py (make docs) from the shipped card.json. -->\n\n"


def page() -> str:
    """The page as it should be."""
    return NOTE + str(describe("senoscope-us")["page"])


if __name__ == "__main__":
    write_text(PAGE, page())
    print(f"wrote {PAGE.relative_to(PAGE.parents[2])}")

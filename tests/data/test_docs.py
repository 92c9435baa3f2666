from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from senoscope import data
from senoscope.data._rows import KNOWN
from senoscope.data.datasets import table
from senoscope.errors import TableError

DOCS = Path(__file__).resolve().parents[2] / "docs"


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_datasets", DOCS / "make_datasets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_datasets_is_current() -> None:
    written = (DOCS / "reference" / "datasets.md").read_text(encoding="utf-8")
    assert written == maker().page() + "\n", "make docs"


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```\w+\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_table_shown_to_users_reads_as_it_says(tmp_path: Path) -> None:
    (example,) = [block for block in blocks("how-to/own-data.md") if block.startswith("id,image")]
    for name in re.findall(r"\w+/\w+\.png", example):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    (tmp_path / "manifest.csv").write_text(example)
    first, second, third = data.load("table", tmp_path)
    assert (first.spacing, first.clinical) == ((0.1, 0.1), {"age": 51.0})
    assert (len(second.masks or ()), second.patient, second.spacing) == (2, "p2", None)
    assert (third.masks, third.label, third.clinical) == ((), "normal", {"age": None})


def test_the_problems_shown_to_users_are_worded_so(tmp_path: Path) -> None:
    rows = "".join(f"c{number},{number}.png,{'malignent' if number == 2 else ''}\n" for number in range(1, 7))
    for number in range(1, 6):
        Image.new("L", (4, 4)).save(tmp_path / f"{number}.png")
    (tmp_path / "manifest.csv").write_text("id,image,label\n" + rows)
    with pytest.raises(TableError) as caught:
        table.read(tmp_path)
    (shown,) = [block for block in blocks("how-to/own-data.md") if block.startswith("Error:")]
    assert f"Error: {caught.value.found}.\n" == shown.replace("images/7.png", "6.png")


def test_every_known_column_is_explained() -> None:
    text = (DOCS / "how-to" / "own-data.md").read_text(encoding="utf-8")
    assert [name for name in KNOWN if f"`{name}`" not in text] == []

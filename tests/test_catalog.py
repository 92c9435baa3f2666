from __future__ import annotations

import subprocess
import sys

import pytest

from senoscope import catalog
from senoscope.errors import ConfigError


def test_rows_come_in_the_files_order_with_their_facts() -> None:
    rows = catalog.load("senoscope.data")
    assert list(rows)[:3] == ["busi", "bus-bra", "mini-mias"]
    row = rows["busi"]
    assert (row.name, row.facts["n"], row.text("doi")) == ("busi", 780, "10.1016/j.dib.2019.104863")
    assert row.text("no such fact") == ""
    assert row.as_dict()["counts"] == {"normal": 133, "benign": 437, "malignant": 210}


def test_reading_a_catalog_imports_neither_the_room_nor_torch() -> None:
    code = (
        "import sys; from senoscope import catalog; catalog.load('senoscope.data'); "
        "print([name for name in sys.modules if name in ('torch', 'numpy', 'senoscope.data')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_package_without_catalog_is_named() -> None:
    with pytest.raises(ConfigError, match=r"senoscope\.cli has no catalog"):
        catalog.load("senoscope.cli")


@pytest.mark.parametrize(
    "table",
    [{"entry": "a:b"}, {"title": "T"}, {"title": "T", "entry": "a.b"}, {"title": 1, "entry": "a:b"}, "x"],
)
def test_an_incomplete_row_is_named(table: object) -> None:
    with pytest.raises(ConfigError, match="row 'new' of somewhere"):
        catalog._row("somewhere", "new", table)


def test_entries_resolve_or_say_that_they_do_not() -> None:
    assert catalog.resolve("senoscope.catalog:load") is catalog.load
    for entry in ("senoscope.catalog:absent", "senoscope.absent:load"):
        with pytest.raises(ConfigError, match=entry):
            catalog.resolve(entry)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("bsui", "busi"), ("BUSBRA", "bus-bra"), ("malignent", "malignant"), ("Bengin", "benign")],
)
def test_nearest_finds_what_was_meant(typed: str, meant: str) -> None:
    assert (
        catalog.nearest(typed, ["busi", "bus-bra", "mini-mias", "normal", "benign", "malignant"])[0] == meant
    )


def test_nearest_says_nothing_of_the_unlike() -> None:
    assert catalog.nearest("zebra", ["busi", "mini-mias"]) == []

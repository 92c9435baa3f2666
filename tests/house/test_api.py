"""The public interface and its reference pages: a change shows up here and is made on purpose."""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import senoscope

PAGES = ("docs/reference/api.md", "docs/reference/cli.md", "docs/reference/recipe.md")


@pytest.fixture(scope="module")
def maker(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("docs/make_reference.py")


@pytest.fixture(scope="module")
def wanted(maker: ModuleType) -> dict[Path, str]:
    return maker.pages()


@pytest.mark.parametrize("name", ["tests/house/api.txt", *PAGES])
def test_generated_page_is_current(name: str, root: Path, wanted: dict[Path, str]) -> None:
    kept, made = (root / name).read_text(encoding="utf-8"), wanted[root / name]
    change = list(
        difflib.unified_diff(kept.splitlines(), made.splitlines(), name, "the code", lineterm="", n=0)
    )
    assert change == [], "if the change is meant: make docs\n" + "\n".join(change[:40])


def test_snapshot_reads_signatures_as_written(maker: ModuleType) -> None:
    text = maker.api_snapshot()
    assert "\nsenoscope.schema\n" in f"\n{text}"
    assert "  class Box(NamedTuple)\n    x: float\n" in text
    assert "    scaled(self, sx: float, sy: float) -> Box\n" in text
    assert "    label: str\n" in text
    assert "senoscope._files" not in text.replace("from senoscope._files", "")


def test_package_hands_on_what_its_stub_says(root: Path) -> None:
    stub = ast.parse((root / "src/senoscope/__init__.pyi").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(senoscope.__all__) == {*typed, "__version__"} == set(dir(senoscope))
    for name, home in typed.items():
        assert getattr(senoscope, name) is getattr(importlib.import_module(str(home)), name)
    with pytest.raises(AttributeError, match="no attribute 'Analyser'"):
        _ = senoscope.Analyser

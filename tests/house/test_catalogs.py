"""Every row of every catalog: it can be made, and it says where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from senoscope import catalog

SOURCE = Path(__file__).resolve().parents[2] / "src"
PACKAGES = sorted(
    {".".join(path.parent.relative_to(SOURCE).parts) for path in SOURCE.glob("senoscope/**/*.toml")}
)
ROWS = [(package, name) for package in PACKAGES for name in catalog.load(package)]


def test_the_rooms_have_catalogs() -> None:
    assert {"senoscope.data", "senoscope.models.systems"} <= set(PACKAGES)


@pytest.mark.parametrize(("package", "name"), ROWS)
def test_row_resolves_and_is_described(package: str, name: str) -> None:
    row = catalog.load(package)[name]
    assert row.name == name == name.lower()
    assert 10 < len(row.title) < 120
    assert "\n" not in row.title
    made = row.resolve()
    assert callable(made)
    assert made.__module__.startswith("senoscope."), "a catalog lists code of this package only"

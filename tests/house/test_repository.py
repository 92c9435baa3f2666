"""The tracked files: nothing of one machine, no data of a public dataset, nothing large by accident."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".csv", ".html", ".cff", ".cfg", ".ini", ""}
# Names that the owners gave to their pictures; a frozen split may hold them, the tree may not.
PICTURES = re.compile(r"(benign|malignant|normal) \(\d+\)|bus_\d{4}|mdb\d{3}|image_\d{4}\.jpg", re.IGNORECASE)


@pytest.fixture(scope="module")
def texts(root: Path, tracked: list[Path]) -> dict[Path, str]:
    return {path: (root / path).read_text(encoding="utf-8") for path in tracked if path.suffix in TEXT}


def test_no_path_of_one_machine(root: Path, texts: dict[Path, str]) -> None:
    homes = re.compile(r"(?<![\w.])/(home|Users|root|mnt)/\w|[A-Z]:\\\\Users")
    above = f"{root.parent}/"
    found = [
        f"{path}: {line.strip()[:100]}"
        for path, text in texts.items()
        for line in text.splitlines()
        if homes.search(line) or (above.count("/") > 1 and above in line)
    ]
    assert found == []


def test_no_registry_is_named(texts: dict[Path, str]) -> None:
    """Where packages come from is the user's own setting."""
    option = re.compile(r"--?(extra-)?index-url|--find-links|trusted-host")
    setup = [path for path in texts if path.suffix in {".toml", ".txt", ".cfg", ""} or path.parts[0] == ".ci"]
    setup = [
        path for path in setup if "LICENSE" not in path.name
    ]  # of vendored parts: they say where those come from
    assert Path("Makefile") in setup
    found = [
        str(path) for path in setup if option.search(texts[path]) or "://" in _installing(path, texts[path])
    ]
    assert found == []


def _installing(path: Path, text: str) -> str:
    """The text without what may hold an address: licence, catalogs (datasets' sources), names."""
    return "" if path.name in {"LICENSE", "catalog.toml", "api.txt"} else text


def test_no_picture_of_a_public_dataset(tracked: list[Path]) -> None:
    assert [str(path) for path in tracked if PICTURES.search(path.name)] == []


def test_no_accidentally_large_file(root: Path, tracked: list[Path]) -> None:
    bundle = Path("src/senoscope/bundles")
    sizes = {path: (root / path).stat().st_size for path in tracked}
    large = [str(path) for path, size in sizes.items() if size > 2**21 and bundle not in path.parents]
    assert large == []
    assert sum(size for path, size in sizes.items() if bundle in path.parents) <= 12 * 2**20


def test_no_private_key_or_pickle(tracked: list[Path]) -> None:
    forbidden = {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".pem", ".key", ".dcm"}
    assert [str(path) for path in tracked if path.suffix in forbidden] == []

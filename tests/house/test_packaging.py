"""What is installed: pinned versions that satisfy the declared bounds, and a wheel with every data file."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from senoscope import __version__


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def requirements(project: dict[str, Any]) -> list[Requirement]:
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in extras for line in extras[name])]
    return [Requirement(line) for line in lines]


def test_constraints_are_names_and_versions_only(root: Path) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    assert lines[0].startswith("#")
    bad = [line for line in lines[1:] if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    assert bad == []


def test_every_requirement_is_pinned_within_its_bounds(root: Path, project: dict[str, Any]) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()[1:]
    pins = {
        canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)
    }
    for requirement in requirements(project):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in constraints.txt: make constraints"
        assert requirement.specifier.contains(pin), f"{requirement} is pinned to {pin}"


def test_every_lower_bound_carries_its_reason(root: Path) -> None:
    text = (root / "pyproject.toml").read_text()
    body = text[text.index("dependencies = [") : text.index("\ndev = [")]
    bounds = [line for line in body.splitlines() if ">=" in line and not line.startswith("requires")]
    assert len(bounds) > 10
    assert [line for line in bounds if "#" not in line] == []


def test_citation_names_this_version(root: Path) -> None:
    assert f"\nversion: {__version__}\n" in (root / "CITATION.cff").read_text()


@pytest.mark.slow
def test_wheel_holds_exactly_the_package(root: Path, tracked: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("senoscope-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("licenses/LICENSE")]
    meant = {path.relative_to("src").as_posix() for path in tracked if path.parts[0] == "src"}
    assert inside >= meant, sorted(meant - inside)
    assert "senoscope/py.typed" in inside
    assert licences
    assert not [name for name in inside if name.endswith((".pyc", ".pt", ".ckpt"))]

"""Rooms depend on each other one way only, and the analysing part runs on the light install."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Imports every module of the analysing part with each package of the extras made impossible to import.
IMPORT_LIGHT = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"blocked {name}", name=name)

sys.meta_path.insert(0, Refuse())
import senoscope
assert "numpy" not in sys.modules, "import senoscope alone must stay light"
for room in ("schema", "errors", "catalog", "data", "imaging", "explain", "inference", "reports", "cli"):
    package = importlib.import_module(f"senoscope.{room}")
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), f"senoscope.{room}."):
        importlib.import_module(found.name)
print("imported", sum(name.startswith("senoscope") for name in sys.modules))
"""


def test_import_rules_hold(root: Path) -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert re.search(r"[1-9]\d* kept, 0 broken", result.stdout)


def test_analysing_part_needs_no_extra(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    light = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    heavy = {
        canonicalize_name(Requirement(line).name)
        for lines in project["optional-dependencies"].values()
        for line in lines
    } - light
    modules = {
        module
        for module, owners in packages_distributions().items()
        if {canonicalize_name(owner) for owner in owners} <= heavy
    }
    assert {"torch", "pyarrow", "sklearn", "onnx"} <= modules
    code = f"BLOCKED = {sorted(modules)!r}\n{IMPORT_LIGHT}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[1]) > 20

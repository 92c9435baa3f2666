"""Catalogs: TOML files beside the code they list, read without importing that code.

Each table of ``catalog.toml`` is one row: its key is the name, ``title`` says what it is in one line,
``entry`` is the ``module:name`` that makes it, and every other key is a fact about it (licence, citation,
sizes, ...). Where a room holds many files of one kind, each file has its rows in a TOML file of its own name.
"""

from __future__ import annotations

import difflib
import importlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from senoscope.errors import ConfigError, UsageError


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a catalog. ``facts`` holds TOML values: text, numbers, booleans, lists and tables."""

    name: str
    title: str
    entry: str
    facts: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A fact as text, empty where the row does not say."""
        return str(self.facts.get(key, ""))

    def resolve(self) -> Any:
        """The object behind ``entry``; this is what imports the code."""
        return resolve(self.entry)

    def as_dict(self) -> dict[str, Any]:
        """The row as plain JSON-able values."""
        return {"name": self.name, "title": self.title, "entry": self.entry, **self.facts}


def load(package: str) -> dict[str, Row]:
    """Rows of ``catalog.toml`` in a package such as ``"senoscope.data"``, in the file's order.

    A package with a row file beside each of its modules instead (``senoscope.models.systems``) gives the rows of all
    of them, by file name. The package itself is not imported. Raises ``ConfigError`` where there is no catalog,
    for bad TOML, an incomplete row or a name given twice.
    """
    return dict(_load(package))


@cache  # parsing sixty files takes 40 ms, and a plan of hundreds of runs asks for rows thousands of times
def _load(package: str) -> dict[str, Row]:
    parent, _, child = package.rpartition(".")
    folder = resources.files(parent or package)
    folder = folder / child if parent else folder
    whole = folder / "catalog.toml"
    each = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda file: file.name)
    files = [whole] if whole.is_file() else each
    if not files:
        raise ConfigError(f"{package} has no catalog.toml", fix="reinstall senoscope")
    rows: dict[str, Row] = {}
    for file in files:
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{package}/{file.name} is not valid TOML: {error}") from error
        for name, table in tables.items():
            if name in rows:
                raise ConfigError(f"row '{name}' stands twice in {package}'s catalog")
            rows[name] = _row(package, name, table)
    return rows


def find(package: str, name: str, what: str) -> Row:
    """One row of a package's catalog; ``what`` is the word for its kind in messages, such as ``dataset``.

    Raises ``UsageError`` with the nearest right names for a wrong one.
    """
    rows = _load(package)
    if name not in rows:
        close = nearest(name, rows)
        raise UsageError(
            f"there is no {what} '{name}'",
            expected="one of " + ", ".join(rows),
            fix="perhaps you mean " + " or ".join(f"'{other}'" for other in close) if close else "",
        )
    return rows[name]


def _row(package: str, name: str, table: Any) -> Row:
    facts = dict(table) if isinstance(table, dict) else {}
    title, entry = facts.pop("title", None), facts.pop("entry", None)
    if not isinstance(title, str) or not isinstance(entry, str) or entry.count(":") != 1:
        raise ConfigError(
            f"row '{name}' of {package}/catalog.toml is incomplete",
            expected="a table with title and entry = 'module:name'",
        )
    return Row(name, title, entry, MappingProxyType(facts))


def resolve(entry: str) -> Any:
    """Import ``"module:name"`` and return the object. Raises ``ConfigError`` if there is no such thing.

    An ``ImportError`` of something the module itself needs is passed on: it names what is not installed.
    """
    module, _, name = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (AttributeError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and not module.startswith(str(error.name)):
            raise
        raise ConfigError(f"catalog entry '{entry}' does not exist", expected="module:name") from error


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.4) -> list[str]:
    """Up to three of ``names`` that look like ``name`` (similarity 0..1), best first, whatever the case."""
    known = {candidate.casefold(): candidate for candidate in names}
    return [known[match] for match in difflib.get_close_matches(name.casefold(), known, n=3, cutoff=cutoff)]

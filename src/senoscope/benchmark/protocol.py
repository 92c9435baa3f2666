"""Protocols: who is in training, validation and test, and how results are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from senoscope import catalog, models
from senoscope.benchmark.divisions import Division, Roots
from senoscope.schema import Record

CATALOG = "senoscope.benchmark"

Divide = Callable[[str, Roots, int], Division]


@dataclass(frozen=True)
class ProtocolCases:
    """Who a protocol tests: records by fold, the split's name and hash, and the warnings every report must show."""

    test: dict[int, list[Record]]
    split_name: str
    split_hash: str
    stamps: tuple[str, ...]


@dataclass(frozen=True)
class Protocol:
    """One row of ``benchmark/catalog.toml``."""

    name: str
    title: str
    entry: str
    judge: str
    honest: bool
    mask_given: bool = False
    in_sample: bool = False
    stamp: str = ""

    @property
    def stamps(self) -> tuple[str, ...]:
        """Warnings that every report of the protocol must show."""
        return (self.stamp,) if self.stamp else ()

    def divide(self, dataset: str, roots: Roots | None = None, seed: int = 0) -> Division:
        """Who is trained on and tested. Raises ``UsageError`` if the dataset has not what the protocol needs."""
        return cast("Divide", catalog.resolve(self.entry))(dataset, roots or {}, seed)

    def cases(self, dataset: str, root: Path | None = None) -> ProtocolCases:
        """The tested records of each fold, as a table of predictions must have them."""
        division = self.divide(dataset, {dataset: root} if root else {})
        test = {fold: list(records) for fold, records in division.test.items()}
        return ProtocolCases(test, division.split.name, division.hash, self.stamps)

    def refusal(self, system: str) -> str:
        """Why a system cannot be run by this protocol; empty if it can."""
        facts = models.info(system).facts
        if self.in_sample and "as_published" not in facts:
            return f"the row of {system} does not say what its published code does"
        if self.mask_given and not facts.get("takes_mask", False):
            return f"{system} takes no mask"
        return ""

    def settings(self, system: str) -> dict[str, Any]:
        """Keys of the recipe that the protocol decides."""
        published = models.info(system).facts.get("as_published", {}) if self.in_sample else {}
        return {"judge": self.judge, "mask_given": self.mask_given, **published}


def names() -> tuple[str, ...]:
    """Names of the protocols, the default first."""
    return tuple(catalog.load(CATALOG))


def load_protocol(name: str) -> Protocol:
    """A protocol by name. Raises ``UsageError`` with the nearest right name for a wrong one."""
    row = catalog.find(CATALOG, name, "protocol")
    return Protocol(name, row.title, row.entry, **row.facts)

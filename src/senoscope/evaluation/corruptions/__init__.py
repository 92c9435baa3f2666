"""What scanners, networks and operators do to images, in five measured steps: a catalog of corruptions.

``names()`` lists them, ``find(name)`` gives one, ``corrupt(...)`` applies one. A new corruption is one function and one
row of ``catalog.toml``. A function takes an image (float32 H×W in 0..1), an amount and a generator, and returns such an
image; one that moves things (``moves = true`` in its row) also takes and returns the mask (bool H×W or ``None``),
and may return another size. The amounts are explained in docs/reference/corruptions.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from senoscope import catalog
from senoscope.errors import UsageError
from senoscope.schema import BoolArray, FloatArray

__all__ = ["SEVERITIES", "Corruption", "corrupt", "find", "generator", "names"]

SEVERITIES = 5
"""Severities are numbered from 1, the mildest, to this."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """One row: ``amounts`` by severity (the first is severity 1), in ``unit``; ``moves`` if the mask changes too."""

    name: str
    title: str
    unit: str
    amounts: tuple[float, ...]
    moves: bool
    function: Callable[..., Any]

    def amount(self, severity: int) -> float:
        """How much a severity is. Raises ``UsageError`` for one that this corruption does not have."""
        if not 1 <= severity <= len(self.amounts):
            raise UsageError(
                f"{self.name} has no severity {severity}",
                expected="1" if len(self.amounts) == 1 else f"1 to {len(self.amounts)}",
            )
        return self.amounts[severity - 1]

    def apply(
        self, image: FloatArray, mask: BoolArray | None, amount: float, rng: np.random.Generator
    ) -> tuple[FloatArray, BoolArray | None]:
        """The image, float32 H×W in 0..1, by ``amount`` worse, and the mask where the lesion now lies."""
        if self.moves:
            moved, mask = self.function(image, mask, amount, rng)
        else:
            moved = self.function(image, amount, rng)
        return np.clip(moved, 0, 1).astype(np.float32, copy=False), mask


def names() -> tuple[str, ...]:
    """Names of the corruptions, in the catalog's order."""
    return tuple(catalog.load(__name__))


def find(name: str) -> Corruption:
    """One corruption. Raises ``UsageError`` with the nearest right names for a wrong one."""
    row = catalog.find(__name__, name, "corruption")
    return Corruption(
        name=name,
        title=row.title,
        unit=row.text("unit"),
        amounts=tuple(float(amount) for amount in row.facts["amounts"]),
        moves=bool(row.facts.get("moves", False)),
        function=row.resolve(),
    )


def corrupt(
    name: str, severity: int, image: FloatArray, mask: BoolArray | None, *, seed: int, case: str
) -> tuple[FloatArray, BoolArray | None]:
    """An image and its mask, corrupted: the same for the same arguments, in whatever order and wherever it is asked.

    Raises ``UsageError`` for a name or severity that there is not.
    """
    corruption = find(name)
    amount = corruption.amount(severity)
    return corruption.apply(image, mask, amount, generator(seed, case, name, severity))


def generator(seed: int, case: str, name: str, severity: float) -> np.random.Generator:
    """The random numbers of one case under one condition, from the SHA-256 of all four."""
    text = "\t".join((str(seed), case, name, str(severity)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))

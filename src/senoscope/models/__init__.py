"""Systems of the literature behind one interface: ``create_model("senoscope-us")``, ``names()``, ``info(name)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from senoscope import catalog
from senoscope.errors import UsageError

if TYPE_CHECKING:
    from senoscope.models.interface import System

__all__ = ["create_model", "info", "names"]


def names() -> tuple[str, ...]:
    """Names of the systems, in the catalog's order."""
    return tuple(catalog.load(__name__))


def info(name: str) -> catalog.Row:
    """One system's catalog row. Raises ``UsageError`` with the nearest right name for a wrong one."""
    rows = catalog.load(__name__)
    if name not in rows:
        close = catalog.nearest(name, rows)
        raise UsageError(
            f"there is no system '{name}'",
            expected="one of " + ", ".join(rows),
            fix=f"perhaps you mean '{close[0]}'" if close else "",
        )
    return rows[name]


def create_model(name: str, **options: Any) -> System:
    """Build a system by name; ``options`` go to its constructor (``classes``, ``encoder_weights``, …).

    Raises ``UsageError`` for a wrong name and ``MissingExtraError`` where PyTorch is not installed.
    """
    system: System = info(name).resolve()(**options)
    return system

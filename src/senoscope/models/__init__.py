"""Systems of the literature behind one interface: ``create_model("senoscope-us")``, ``names()``, ``info(name)``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from senoscope import catalog
from senoscope.errors import UsageError

if TYPE_CHECKING:
    from senoscope.models.interface import System

__all__ = ["CATALOG", "check_image_size", "create_model", "info", "names"]

CATALOG = "senoscope.models.systems"


def names() -> tuple[str, ...]:
    """Names of the systems, sorted."""
    return tuple(sorted(catalog.load(CATALOG)))


def info(name: str) -> catalog.Row:
    """One system's catalog row. Raises ``UsageError`` with the nearest right names for a wrong one."""
    return catalog.find(CATALOG, name, "system")


def check_image_size(row: catalog.Row, size: int) -> None:
    """Raise ``UsageError`` with the sizes a system takes, where ``size`` (pixels, square) is not one of them."""
    step = int(row.facts.get("size_multiple", 1))
    least = int(row.facts.get("min_size", step))
    if size % step or size < least:
        below = max(least, size - size % step)
        raise UsageError(
            f"{row.name} cannot take images of {size}×{size}",
            expected=f"multiples of {step} from {least} up (it was published at {row.facts['native_size']})",
            fix=f"use --image-size {below} or {max(below, size + step - size % step)}",
        )


def create_model(
    name: str, *, classes: int | None = None, image_size: int | None = None, **options: Any
) -> System:
    """Build a system by name, untrained unless ``pretrained=True`` or ``encoder_weights=`` is given.

    ``classes`` is the number of classes (3 if not given), for systems that classify. ``image_size`` is the side of the
    square images it will see, in pixels, the published one if not given; most systems take any multiple of their
    stride afterwards, a few are built for one size. ``options`` go to the system's constructor.

    Raises ``UsageError`` for a wrong name, an image size or an option the system does not take, and
    ``MissingExtraError`` where PyTorch is not installed.
    """
    row = info(name)
    size = int(row.facts["native_size"]) if image_size is None else image_size
    check_image_size(row, size)
    build = row.resolve()
    accepted = inspect.signature(build).parameters
    given = dict(row.facts.get("options", {})) | options
    if "classes" in accepted:
        given["classes"] = 3 if classes is None else classes
    if "image_size" in accepted:
        given["image_size"] = size
    unknown = [key for key in given if key not in accepted]
    if unknown:
        raise UsageError(
            f"{name} has no option {unknown[0]!r}",
            expected="options of " + ", ".join(accepted),
            fix="see: senoscope models info " + name,
        )
    system: System = build(**given)
    return system

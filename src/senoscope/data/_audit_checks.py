"""What an audit looks at in one image and its mask, and which of it is odd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from senoscope.data._hashing import shrink, strip_border
from senoscope.errors import SenoscopeError
from senoscope.imaging.burnt_in import text_lines
from senoscope.imaging.read import analysable, colour_fraction, read_image, read_mask, to_gray
from senoscope.schema import BoolArray, FloatArray, Record

_SPECK = 0.02  # a component smaller than this share of the largest is a speck, not another lesion
_FAR = 6.0  # robust standard deviations that make an outlier
_COLOURED = 1e-4  # share of coloured pixels


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing to look at: the check it belongs to, the images, and what was found."""

    check: str
    ids: tuple[str, ...]
    detail: str


@dataclass(slots=True)
class Facts:
    """What one look at an image says. ``small`` is ``None`` if it could not be read."""

    record: Record
    problem: str = ""
    mask_problem: str = ""
    small: FloatArray | None = None
    size: tuple[int, int] = (0, 0)  # width, height
    brightness: tuple[float, float] = (0.0, 0.0)  # mean and standard deviation of gray 0..1
    colour: float = 0.0
    text: list[tuple[int, int, int, int]] = field(default_factory=list)
    mask_area: int | None = None  # pixels; None: no mask known or readable
    components: list[int] = field(default_factory=list)  # areas in pixels, largest first
    at_border: bool = False


def look(record: Record) -> Facts:
    """Read an image and its mask once and keep what the checks need; never raises for a bad file."""
    facts = Facts(record)
    try:
        raw = read_image(record.image)
        gray = to_gray(raw)
    except SenoscopeError as error:
        facts.problem = error.found
        return facts
    height, width = gray.shape
    facts.size = (width, height)
    facts.problem = analysable(gray) or ""
    if not np.isfinite(gray).all():
        return facts
    facts.small = shrink(strip_border(gray))
    facts.brightness = (float(gray.mean()), float(gray.std()))
    facts.colour = colour_fraction(raw)
    facts.text = text_lines(gray)
    if record.masks is not None:
        try:
            _look_at_mask(facts, read_mask(record.masks, raw.shape, orientation=raw.orientation))
        except SenoscopeError as error:
            facts.mask_problem = error.found
    return facts


def _look_at_mask(facts: Facts, mask: BoolArray) -> None:
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    facts.mask_area = int(mask.sum())
    facts.components = sorted(np.bincount(labels.ravel())[1:].tolist(), reverse=True) if count else []
    facts.at_border = bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def image_issues(facts: Facts) -> Iterator[Issue]:
    """Issues that one image has by itself."""
    record, ids = facts.record, (facts.record.id,)
    if facts.problem:
        yield Issue("unreadable", ids, facts.problem)
    if facts.small is None:
        return
    if facts.text:
        plural = "s" if len(facts.text) > 1 else ""
        yield Issue("burnt-in text", ids, f"{len(facts.text)} line{plural} of text")
    if facts.colour > _COLOURED:
        yield Issue("colour", ids, f"{facts.colour:.2%} of the pixels are coloured")
    if facts.mask_problem:
        yield Issue("mask unreadable", ids, facts.mask_problem)
    elif facts.mask_area is None:
        if record.label != "normal":
            yield Issue("mask missing", ids, "no mask file is known")
    else:
        yield from _mask_issues(facts, ids)


def _mask_issues(facts: Facts, ids: tuple[str, ...]) -> Iterator[Issue]:
    label, area, pieces = facts.record.label, facts.mask_area, facts.components
    if area == 0 and label not in ("normal", None):
        yield Issue("mask empty", ids, f"labelled {label}, yet no pixel is marked")
    if area and label == "normal":
        yield Issue("mask on normal", ids, f"{area} pixels are marked")
    specks = [piece for piece in pieces if piece < _SPECK * pieces[0]]
    if specks:
        yield Issue(
            "mask in pieces", ids, f"{len(pieces)} pieces, {len(specks)} of them specks: {pieces[:6]} px"
        )
    if facts.at_border and area:
        yield Issue("mask at border", ids, "marked up to the image's edge")


def outlier_issues(seen: Sequence[Facts]) -> Iterator[Issue]:
    """Images far from the others in size or brightness, by median and median absolute deviation."""
    if len(seen) < 10:
        return
    area = np.log([fact.size[0] * fact.size[1] for fact in seen])
    aspect = np.log([fact.size[0] / fact.size[1] for fact in seen])
    mean, spread = (np.array([fact.brightness[k] for fact in seen]) for k in (0, 1))
    tests = (
        ("odd size", area, "area {far:+.1f} robust deviations from the median"),
        ("odd size", aspect, "width : height {far:+.1f} robust deviations from the median"),
        ("odd brightness", mean, "mean gray {far:+.1f} robust deviations from the median"),
        ("odd brightness", spread, "contrast {far:+.1f} robust deviations from the median"),
    )
    for check, values, text in tests:
        # A floor of 1 %: where nearly all images are alike, a pixel more or less is nothing odd.
        scale = max(1.4826 * float(np.median(np.abs(values - np.median(values)))), 0.01)
        for fact, far in zip(seen, (values - np.median(values)) / scale, strict=True):
            if abs(far) > _FAR:
                width, height = fact.size
                yield Issue(check, (fact.record.id,), f"{width}×{height}: " + text.format(far=far))

"""Where one system fails: confusion, Dice against lesion size, the worst cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from senoscope import data
from senoscope.benchmark.leaderboard import Entry
from senoscope.errors import SenoscopeError
from senoscope.evaluation.classification import confusion
from senoscope.evaluation.pictures import Picture, pictures, worst_classes, worst_outlines
from senoscope.evaluation.segmentation import lesion_share, outlined
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES, Record

WIDTH, HEIGHT = 320, 170
"""The size plot's frame, in its own units."""

_FEWEST, _LONGEST_GALLERY = 5, 24
_SHARES = (0.002, 1.0)  # lesion sizes shown, as shares of the image


class Dots(NamedTuple):
    """One class's cases in the plot of Dice against lesion size, as SVG path data."""

    name: str
    path: str


@dataclass(frozen=True)
class Details:
    """What unfolds below a row, of its first seed. ``confusion`` maps the true class to counts by predicted class."""

    confusion: dict[str, list[int]]
    dots: list[Dots]
    worst: dict[str, list[Picture]]


def details(entry: Entry) -> Details:
    """Details of an entry; empty parts where it gives no classes or no outlines."""
    test = entry.tables[0]
    counts = confusion(test)
    worst = {
        "Worst outlines": pictures(test, worst_outlines(test, _FEWEST), [], []),
        "Most confidently wrong": pictures(test, worst_classes(test, _FEWEST), [], []),
    }
    return Details(
        confusion={CLASSES[row]: counts[row].tolist() for row in range(len(CLASSES)) if counts[row].sum()},
        dots=_dots(test),
        worst={name: cases for name, cases in worst.items() if cases},
    )


def _dots(test: PredictionTable) -> list[Dots]:
    """Each lesion image as a dot: x its lesion's share of the image (logarithmic), y its Dice."""
    share = lesion_share(test)
    rows = outlined(test) & np.isfinite(share) & (share > 0)
    low, high = np.log(_SHARES)
    x = WIDTH * np.clip((np.log(np.where(rows, share, 1.0)) - low) / (high - low), 0, 1)
    y = HEIGHT * (1 - np.where(rows, test.dice, 0.0))
    found = []
    for code, name in enumerate(CLASSES):
        here = np.flatnonzero(rows & (test.label == code))
        if len(here):
            found.append(Dots(name, "".join(f"M{x[row]:.0f} {y[row]:.0f}h0" for row in here)))
    return found


def size_ticks() -> list[tuple[float, str]]:
    """Places and labels of the size plot's x axis."""
    low, high = np.log(_SHARES)
    shown = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5)
    return [(float(WIDTH * (np.log(share) - low) / (high - low)), f"{100 * share:g} %") for share in shown]


def gallery(dataset: str, entries: Sequence[Entry]) -> list[Picture]:
    """Images that stand most often among the worst cases of a dataset's entries, with their true outlines.

    The name of a picture is the case's id. Empty where the dataset is not at hand.
    """
    try:
        records = data.load(dataset)
    except SenoscopeError:
        return []
    counts: Counter[str] = Counter()
    places: dict[str, tuple[PredictionTable, int]] = {}
    for entry in entries:
        test = entry.tables[0]
        rows = {*worst_outlines(test, _FEWEST).tolist(), *worst_classes(test, _FEWEST).tolist()}
        for row in rows:
            counts[str(test.id[row])] += 1
            places[str(test.id[row])] = test, row
    chosen = sorted(counts, key=lambda case: (-counts[case], case))[:_LONGEST_GALLERY]
    return [_pictured(*places[case], records, counts[case], len(entries)) for case in chosen]


def _pictured(test: PredictionTable, row: int, records: list[Record], count: int, entries: int) -> Picture:
    (picture,) = pictures(test, np.array([row]), records, [])
    truth = CLASSES[test.label[row]] if test.label[row] >= 0 else "unknown"
    caption = f"truth {truth} · among the worst of {count} of {entries} systems"
    missing = "" if picture.image else picture.missing
    return replace(picture, caption=caption, missing=missing)

"""Crops: is one image, or a part of it, a part of the other?

The hash of a grid of canonical crops of each image is compared with those of a few large crops of every other; near
ones are candidates and say roughly where one lies in the other. See ``_register`` for how they are confirmed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from senoscope.data._hashing import Interval, distance, mirror, signs, spectrum
from senoscope.data._register import Placement, Registrar
from senoscope.schema import FloatArray

_GRID: tuple[Interval, ...] = tuple(
    (step / 10, share / 10) for share in (10, 9, 8, 7, 6, 5) for step in range(11 - share)
)
_QUERIES: tuple[Interval, ...] = ((0.0, 1.0), (0.1, 0.8))


@dataclass(frozen=True, slots=True)
class Crop:
    """Two images of which one shows a part of the other (``first`` < ``second``)."""

    first: int
    second: int
    mirrored: bool
    hamming: int
    correlation: float


def find(
    small: Sequence[FloatArray],
    hamming: int,
    correlation: float,
    known: Collection[tuple[int, int]] = (),
    tell: Callable[[float], object] = lambda share: None,
) -> list[Crop]:
    """Pairs beyond ``known`` of which one image is a crop of the other, or both of a third.

    ``tell`` hears what share of the work is done.
    """
    registrar = Registrar(small)
    best: dict[tuple[int, int], Crop] = {}
    candidates = _candidates(small, hamming, known, tell)
    for done, (placement, bits) in enumerate(candidates):
        score = registrar.score(placement)
        first, second = sorted((placement.inner, placement.outer))
        if score >= correlation and ((first, second) not in best or score > best[first, second].correlation):
            best[first, second] = Crop(first, second, placement.mirrored, bits, round(score, 4))
        if done % 64 == 0:
            tell(0.5 + 0.5 * done / len(candidates))
    return list(best.values())


def _candidates(
    small: Sequence[FloatArray],
    limit: int,
    known: Collection[tuple[int, int]],
    tell: Callable[[float], object],
) -> list[tuple[Placement, int]]:
    """Per ordered pair and orientation where the nearest crops put one image in the other, if within ``limit``."""
    spectra = np.concatenate([spectrum(image, _QUERIES, _QUERIES) for image in small])
    asked = {False: signs(spectra), True: signs(mirror(spectra))}
    found: list[tuple[Placement, int]] = []
    for j, image in enumerate(small):
        crops = signs(spectrum(image, _GRID, _GRID))
        for mirrored, bits in asked.items():
            apart = distance(bits, crops).reshape(len(small), -1)
            nearest = apart.argmin(axis=1)
            least = apart[np.arange(len(small)), nearest]
            for i in np.flatnonzero(least <= limit):
                if i != j and (min(i, j), max(i, j)) not in known:
                    found.append((_place(int(i), j, mirrored, int(nearest[i])), int(least[i])))
        tell(0.5 * (j + 1) / len(small))
    return found


def _place(query: int, image: int, mirrored: bool, match: int) -> Placement:
    """Where the whole query would lie in the image, from the number of the matching pair of crops."""
    query_crop, image_crop = divmod(match, len(_GRID) ** 2)
    (qy, qh), (qx, qw) = list(itertools.product(_QUERIES, _QUERIES))[query_crop]
    (y, h), (x, w) = _GRID[image_crop // len(_GRID)], _GRID[image_crop % len(_GRID)]
    if mirrored:  # the query's crop, seen in the flipped query
        qx = 1 - qx - qw
    height, width = h / qh, w / qw
    return Placement(query, image, mirrored, y - qy * height, x - qx * width, height, width)

"""Near-duplicates: the same picture again, mirrored, resized, recompressed or cropped.

Two stages. First every image against every other: a 64-bit perceptual hash (signs of the low DCT frequencies, as in
Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"), then the correlation of 64×64
thumbnails as confirmation. Then crops: the hash of every canonical crop of one image against the other, confirmed by
registering the two (see ``_crops``). Letterbox borders are stripped first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from senoscope.data import _crops, _hashing
from senoscope.data._folds import components
from senoscope.errors import UsageError
from senoscope.imaging.read import read_image, to_gray
from senoscope.schema import FloatArray

__all__ = ["Duplicates", "Pair", "Rules", "find_duplicates", "find_groups", "phash"]

phash = _hashing.phash


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as a near-duplicate.

    ``hamming`` (bits of 64) and ``correlation`` (of 64×64 thumbnails) both have to hold for a whole image.
    ``crop_hamming`` makes two images candidates of the crop stage, ``crop_correlation`` of the registered detail
    confirms them. Set so that no two patients of BUS-BRA (1.1 million pairs) are taken for one picture.
    """

    hamming: int = 10
    correlation: float = 0.85
    crops: bool = True
    crop_hamming: int = 12
    crop_correlation: float = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Evidence that two images (by position) are one picture.

    ``transform`` is ``same``, ``mirrored``, ``crop`` or ``mirrored crop``; ``hamming`` the hash distance in bits
    (of the nearest crops for a crop); ``correlation`` that of the thumbnails, or of the registered detail for a crop.
    """

    first: int
    second: int
    transform: str
    hamming: int
    correlation: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The pairs found among ``count`` images, and their groups (positions, each ascending, two or more)."""

    pairs: tuple[Pair, ...]
    count: int

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Images linked by pairs, directly or through others."""
        keys: list[list[int]] = [[] for _ in range(self.count)]
        for number, pair in enumerate(self.pairs):
            keys[pair.first].append(number)
            keys[pair.second].append(number)
        return tuple(tuple(cluster) for cluster in components(keys) if len(cluster) > 1)


def find_groups(
    images: Iterable[FloatArray | Path], rules: Rules | None = None
) -> tuple[tuple[int, ...], ...]:
    """Positions of images that are near-duplicates of each other. See ``find_duplicates``."""
    return find_duplicates(images, rules).groups


def find_duplicates(
    images: Iterable[FloatArray | Path], rules: Rules | None = None, *, progress: bool = False
) -> Duplicates:
    """Every near-duplicate pair among gray images (float, any size, 0..1) or image files.

    Only a thumbnail of 128 px of each is kept, so images may stream in. Time grows with the square of their number
    (about half a minute for 780, on one core). Raises ``ImageError`` for a file that cannot be read.
    """
    rules = rules or Rules()
    if not (0 <= rules.hamming <= 64 and 0 <= rules.crop_hamming <= 64):
        raise UsageError(
            f"hash distance is {rules.hamming} and {rules.crop_hamming}", expected="0 to 64 bits"
        )
    with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
        total = len(images) if isinstance(images, Sequence) else None
        small = [_small(image) for image in bar.track(images, total, description="Reading images")]
        pairs = _whole_pairs(small, rules)
        if rules.crops and len(small) > 1:
            known = {(pair.first, pair.second) for pair in pairs}
            task = bar.add_task("Looking for crops", total=1.0)
            found = _crops.find(
                small,
                rules.crop_hamming,
                rules.crop_correlation,
                known,
                tell=lambda share: bar.update(task, completed=share),
            )
            pairs += [
                Pair(
                    first=crop.first,
                    second=crop.second,
                    transform="mirrored crop" if crop.mirrored else "crop",
                    hamming=crop.hamming,
                    correlation=crop.correlation,
                )
                for crop in found
            ]
    return Duplicates(tuple(sorted(pairs, key=lambda pair: (pair.first, pair.second))), len(small))


def _small(image: FloatArray | Path) -> FloatArray:
    gray = to_gray(read_image(image)) if isinstance(image, Path) else image
    return _hashing.shrink(_hashing.strip_border(gray))


def _whole_pairs(small: Sequence[FloatArray], rules: Rules) -> list[Pair]:
    """Pairs of whole images, upright or mirrored; a pair that is both counts as upright."""
    if not small:
        return []
    spectra = np.stack([_hashing.spectrum(image) for image in small])
    upright, mirrored = _hashing.signs(spectra), _hashing.signs(_hashing.mirror(spectra))
    thumbs = np.stack([_hashing.thumbnail(image) for image in small])
    flipped = thumbs.reshape(-1, 64, 64)[:, :, ::-1].reshape(len(small), -1)
    pairs: list[Pair] = []
    for i in range(len(small) - 1):
        found: dict[int, Pair] = {}
        for name, bits, pictures in (("mirrored", mirrored, flipped), ("same", upright, thumbs)):
            hamming = _hashing.distance(upright[i : i + 1], bits[i + 1 :])[0]
            correlation = pictures[i + 1 :] @ thumbs[i]
            found |= _confirmed(i, name, hamming, correlation, rules)
        pairs += [found[j] for j in sorted(found)]
    return pairs


def _confirmed(
    i: int, name: str, hamming: NDArray[Any], correlation: FloatArray, rules: Rules
) -> dict[int, Pair]:
    hits = np.flatnonzero((hamming <= rules.hamming) & (correlation >= rules.correlation))
    return {
        int(i + 1 + k): Pair(
            first=i,
            second=int(i + 1 + k),
            transform=name,
            hamming=int(hamming[k]),
            correlation=round(float(correlation[k]), 4),
        )
        for k in hits
    }

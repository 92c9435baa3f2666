"""Which images an epoch shows, and how often: random over- and undersampling against rare classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from senoscope.errors import ConfigError

Sampling = Literal["natural", "over", "under"]
"""How classes are drawn: as they come, rare ones more often, or common ones less often."""


def order(labels: NDArray[np.int64], sampling: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of one epoch, shuffled; ``labels`` N holds classes, -1 where the class is not known.

    "natural" shows every image once. "over" repeats the images of rarer classes until each class is as frequent as
    the commonest: every image equally often, give or take one. "under" draws without repetition as many images of
    each class as the rarest has, others every epoch. Images of unknown class are always shown once. The length does
    not depend on ``rng`` (random over- and undersampling, Japkowicz & Stephen 2002). Raises ``ConfigError`` for
    another word.
    """
    if sampling not in get_args(Sampling):
        raise ConfigError(f"sampling = {sampling!r}", expected="one of " + ", ".join(get_args(Sampling)))
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
    if sampling == "natural" or not groups:
        return rng.permutation(len(labels))
    sizes = [len(group) for group in groups]
    wanted = max(sizes) if sampling == "over" else min(sizes)
    chosen = [np.flatnonzero(labels < 0), *(_draw(group, wanted, rng) for group in groups)]
    return rng.permutation(np.concatenate(chosen))


def _draw(group: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``count`` members of a group: all as often as they fit, the rest drawn without repetition."""
    whole, rest = divmod(count, len(group))
    parts: Sequence[NDArray[np.int64]] = [*[group] * whole, rng.choice(group, rest, replace=False)]
    return np.concatenate(parts)

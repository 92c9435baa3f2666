"""Augmented batches, each a function of (seed, epoch, step) alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from senoscope.training.augment import augment
from senoscope.training.data import Arrays
from senoscope.training.recipe import Recipe
from senoscope.training.sampling import order


class Batch(NamedTuple):
    """Images and masks N×1×S×S, whether each mask is known (N), labels (N, -1 unknown)."""

    images: Tensor
    masks: Tensor
    has_mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(part.to(device) for part in self))


class Batches:
    """The batches of a training, for one of ``world`` processes.

    ``ahead``: each is made while the one before is learnt from, on a thread of its own. Where the training keeps
    every core busy that is slower than making them in between.
    """

    def __init__(
        self, recipe: Recipe, arrays: Arrays, rank: int = 0, world: int = 1, *, ahead: bool = False
    ) -> None:
        self.recipe, self.arrays, self.rank, self.world, self.ahead = recipe, arrays, rank, world, ahead
        self.steps = -(-len(self._order(0)) // (recipe.batch * world))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self.recipe.seed, epoch])
        drawn = self._drawn(rng)
        chosen = drawn[order(self.arrays.labels[drawn], self.recipe.sampling, rng)]
        alone = len(chosen) > 1 and len(chosen) % self.recipe.batch == 1
        return chosen[:-1] if alone else chosen  # batch norm cannot learn from a batch of one image

    def _drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The cases of an epoch: all, but of a dataset with a share only so many."""
        kept = np.ones(len(self.arrays), np.bool_)
        for number, source in enumerate(self.recipe.data):
            if source.share < 1:
                own = rng.permutation(np.flatnonzero(self.arrays.source == number))
                kept[own[max(1, round(source.share * len(own))) :]] = False
        return np.flatnonzero(kept)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """One epoch's batches."""
        chosen = self._order(epoch)
        if self.world > 1:
            chosen = np.resize(chosen, self.steps * self.recipe.batch * self.world)
        mine = chosen[self.rank :: self.world]
        if not self.ahead:
            yield from (self._make(mine, epoch, step) for step in range(self.steps))
            return
        # One thread for the next batch: more would fight the training for the same cores.
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            upcoming = pool.submit(self._make, mine, epoch, 0)
            for step in range(self.steps):
                batch = upcoming.result()
                if step + 1 < self.steps:
                    upcoming = pool.submit(self._make, mine, epoch, step + 1)
                yield batch

    def _make(self, mine: NDArray[np.int64], epoch: int, step: int) -> Batch:
        recipe, arrays = self.recipe, self.arrays
        chosen = mine[step * recipe.batch : (step + 1) * recipe.batch]
        rng = np.random.default_rng([recipe.seed, epoch, step, self.rank])
        images = torch.from_numpy(arrays.images[chosen]).float().div_(255).unsqueeze(1)
        masks = torch.from_numpy(arrays.masks[chosen]).float().unsqueeze(1)
        images, masks = augment(
            images, masks, recipe.augment, recipe.train_size, rng, side=recipe.preprocess.size
        )
        return Batch(
            images.contiguous(memory_format=torch.channels_last),
            masks,
            torch.from_numpy(arrays.has_mask[chosen]),
            torch.from_numpy(arrays.labels[chosen]),
        )

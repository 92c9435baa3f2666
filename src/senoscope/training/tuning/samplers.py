"""The samplers that a search can name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from senoscope.errors import UsageError
from senoscope.training.tuning.grey_wolf import GreyWolfSampler
from senoscope.training.tuning.parrot import ParrotSampler

SAMPLERS: dict[str, str] = {
    "tpe": "tree-structured Parzen estimator (Bergstra et al. 2011)",
    "random": "uniformly random (Bergstra & Bengio 2012)",
    "grey-wolf": "Grey Wolf Optimizer (Mirjalili et al. 2014)",
    "parrot": "Parrot Optimizer (Lian et al. 2024)",
}
"""Samplers by name, with their source."""


def make_sampler(name: str, trials: int, seed: int, population: int) -> BaseSampler:
    """A sampler whose draws depend on the seed, the trial's number and the finished trials alone.

    So a search that is interrupted goes on as if it had not been, and several processes never draw the same. Raises
    ``UsageError`` for a name that is not in ``SAMPLERS``.
    """
    iterations = math.ceil(trials / population)
    makers: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: PerTrial(TPESampler, seed),
        "random": lambda: PerTrial(RandomSampler, seed),
        "grey-wolf": lambda: GreyWolfSampler(population, iterations, seed),
        "parrot": lambda: ParrotSampler(population, iterations, seed),
    }
    if name not in makers:
        raise UsageError(f"there is no sampler '{name}'", expected="one of " + ", ".join(SAMPLERS))
    return makers[name]()


def population_for(trials: int) -> int:
    """A population that leaves about as many generations as it has members, for a number of trials."""
    return max(4, round(math.sqrt(trials)))


class PerTrial(BaseSampler):
    """A sampler of Optuna's made afresh for every trial, seeded by (seed, trial number).

    Optuna's own start the same sequence again in every process that opens a study with the same seed.
    """

    def __init__(self, kind: Callable[..., BaseSampler], seed: int) -> None:
        self.kind, self.seed = kind, seed
        self._sampler: BaseSampler = kind(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the trial's own sampler."""
        self._sampler = self.kind(
            seed=int(np.random.default_rng([self.seed, trial.number]).integers(2**32 - 1))
        )
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler does."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler does."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler does."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

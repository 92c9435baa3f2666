"""What Grey Wolf and Parrot share as Optuna samplers: a population that lives in the study's trials."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from senoscope.training.tuning.space import Cube, Point


@dataclass(frozen=True)
class Member:
    """Where a member of the population is, and the value there (smaller is better)."""

    point: Point
    value: float


@dataclass(frozen=True)
class Swarm:
    """What a move may look at: members by slot, the three best points ever (fewer at first), time passed (0..1)."""

    members: dict[int, Member]
    best: list[Point]
    progress: float


class PopulationSampler(BaseSampler):
    """A population method for Optuna studies with one objective.

    Trial number n belongs to generation n // ``population`` and is the next place of member n % ``population``; the
    member's present place is its last finished trial. So the population is nothing but the study's trials: a search
    goes on after any interruption, and several workers on one storage share it without more agreement (a worker that
    is ahead moves on from what has finished). The first generation is uniformly random. Each draw is a function of
    ``seed`` and the trial's number. Pruned trials count with their last value, but never as the best. ``iterations``
    is the number of generations after which the methods' decaying terms rest.
    """

    def __init__(self, population: int = 10, iterations: int = 20, seed: int | None = None) -> None:
        if population < 1 or iterations < 1:
            raise ValueError(f"population {population} and iterations {iterations} must be positive")
        self.population, self.iterations = population, iterations
        self.seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._common = IntersectionSearchSpace()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What all finished trials have in common."""
        self._raise_error_if_multi_objective(study)
        return self._common.calculate(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next place of the member whose turn it is."""
        if not search_space:
            return {}
        cube = Cube(search_space)
        generation, slot = divmod(trial.number, self.population)
        rng = self._rng(trial.number)
        swarm = self._swarm(study, cube, trial.number)
        if generation == 0 or slot not in swarm.members or not swarm.best:
            return cube.decode(rng.uniform(-1, 1, cube.size))
        return cube.decode(self.move(swarm, slot, rng, self._rng(generation, 1)))

    @abstractmethod
    def move(self, swarm: Swarm, slot: int, rng: np.random.Generator, common: np.random.Generator) -> Point:
        """Where member ``slot`` goes. ``rng`` is its own, ``common`` the same for all of a generation."""

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A uniformly random value, for parameters that not all trials have."""
        self._raise_error_if_multi_objective(study)
        cube = Cube({param_name: param_distribution})
        rng = self._rng(trial.number, zlib.crc32(param_name.encode()))
        return cube.decode(rng.uniform(-1, 1, cube.size))[param_name]

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def _swarm(self, study: Study, cube: Cube, number: int) -> Swarm:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        trials = [
            trial
            for trial in sorted(study.get_trials(deepcopy=False, states=states), key=lambda t: t.number)
            if trial.number < number
            and trial.value is not None
            and np.isfinite(trial.value)
            and set(cube.space) <= set(trial.params)
        ]
        last = {trial.number % self.population: trial for trial in trials}
        members = {
            slot: Member(cube.encode(trial.params), sign * (trial.value or 0.0))
            for slot, trial in last.items()
        }
        complete = (trial for trial in trials if trial.state == TrialState.COMPLETE)
        best = nsmallest(3, complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))
        # The first generation has no move, so the last of ``iterations`` makes move number ``iterations`` - 1.
        progress = min(1.0, (number // self.population) / max(1, self.iterations - 1))
        return Swarm(members, [cube.encode(trial.params) for trial in best], progress)

"""Grey Wolf Optimizer as an Optuna sampler."""

from __future__ import annotations

import numpy as np

from senoscope.training.tuning.population import PopulationSampler, Swarm
from senoscope.training.tuning.space import Point, clipped


class GreyWolfSampler(PopulationSampler):
    """Grey Wolf Optimizer (Mirjalili, Mirjalili & Lewis 2014, equations 3.1 to 3.7).

    Every wolf moves to the mean of three places, each around one of the three best trials so far (alpha, beta, delta).
    How far around falls linearly from 2 to nearly 0, which turns search into attack. As C multiplies the leaders'
    coordinates, the method leans to the origin, here the centre of the cube; its figures on functions whose optimum
    is at the origin flatter it.
    """

    def move(self, swarm: Swarm, slot: int, rng: np.random.Generator, common: np.random.Generator) -> Point:
        """The mean of the places that the three leaders draw the wolf to."""
        place = swarm.members[slot].point
        # Moves are counted from 1; the paper's a starts at 2 for the first.
        reach = 2 * (1 - swarm.progress) + 2 / max(1, self.iterations - 1)
        leaders = (swarm.best * 3)[:3]  # fewer than three lead more than once
        drawn = []
        for leader in leaders:
            a = reach * (2 * rng.random(len(place)) - 1)
            c = 2 * rng.random(len(place))
            drawn.append(leader - a * np.abs(c * leader - place))
        return clipped(np.mean(drawn, axis=0))

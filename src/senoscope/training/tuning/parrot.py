"""Parrot Optimizer as an Optuna sampler."""

from __future__ import annotations

import math

import numpy as np

from senoscope.training.tuning.population import PopulationSampler, Swarm
from senoscope.training.tuning.space import Point, clipped


class ParrotSampler(PopulationSampler):
    """Parrot Optimizer (Lian et al. 2024, Computers in Biology and Medicine 172, 108064).

    Each parrot does one of four things by chance: it forages (a Lévy flight relative to the best, near the flock's
    mean), stays (near the best's Lévy flight), communicates (towards or away from the flock) or shies from strangers
    (towards the best). All moves are accepted, as in the authors' published program (version 2). An interpretation
    where that program and the paper differ or depend on the units of the problem: the mean is the flock's, not that
    of one parrot's coordinates, and coordinates are those of the cube -1..1.
    """

    def move(self, swarm: Swarm, slot: int, rng: np.random.Generator, common: np.random.Generator) -> Point:
        """One of the four behaviours, each as likely."""
        place, best, time = swarm.members[slot].point, swarm.best[0], swarm.progress
        flock = np.mean([member.point for member in swarm.members.values()], axis=0)
        strength, angle = common.random() / 5, common.random() * math.pi
        size = len(place)
        behaviour = rng.integers(4)
        if behaviour == 0:  # foraging
            found = (place - best) * levy(size, rng) + rng.random() * (1 - time) ** (2 * time) * flock
        elif behaviour == 1:  # staying
            found = place + best * levy(size, rng) + rng.standard_normal() * (1 - time)
        elif behaviour == 2:  # communicating: join the flock, or fly off alone
            if rng.random() < 0.5:
                found = place + strength * (1 - time) * (place - flock)
            else:
                rank = 1 + sum(m.value < swarm.members[slot].value for m in swarm.members.values())
                late = math.exp(-rank / ((1 - rng.random()) * max(1, self.iterations - 1)))
                found = place + strength * (1 - time) * late
        else:  # fear of strangers
            nearer = rng.random() * math.cos(math.pi / 2 * time) * (best - place)
            moves = max(1, self.iterations - 1)
            found = place + nearer - math.cos(angle) * time ** (2 / moves) * (place - best)
        return clipped(found)


def levy(size: int, rng: np.random.Generator, beta: float = 1.5) -> Point:
    """Steps of a Lévy flight by Mantegna's algorithm (1994)."""
    top = math.gamma(1 + beta) * math.sin(math.pi * beta / 2)
    bottom = math.gamma((1 + beta) / 2) * beta * 2 ** ((beta - 1) / 2)
    spread = (top / bottom) ** (1 / beta)
    steps = spread * rng.standard_normal(size) / np.abs(rng.standard_normal(size)) ** (1 / beta)
    return np.asarray(steps)

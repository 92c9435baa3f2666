"""A search space as a cube: every hyper-parameter a coordinate (or several) in -1..1, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Point = NDArray[np.float64]
_Number = FloatDistribution | IntDistribution


class Cube:
    """Maps parameters to points in -1..1 and back.

    A number is one coordinate, on a logarithmic scale if its distribution is; steps and whole numbers get equal
    shares of it. A choice is one coordinate per option (1 for the chosen one, -1 for the others; the largest wins), so
    that no option lies between two others. The centre is 0, where movers that multiply positions are biased to.
    """

    def __init__(self, space: dict[str, BaseDistribution]) -> None:
        self.space = dict(sorted(space.items()))
        self.size = sum(_width(kind) for kind in self.space.values())

    def encode(self, params: dict[str, Any]) -> Point:
        """The point of ``params``, which must name every parameter of the space."""
        parts: list[float] = []
        for name, kind in self.space.items():
            if isinstance(kind, CategoricalDistribution):
                chosen = int(kind.to_internal_repr(params[name]))
                parts += [1.0 if option == chosen else -1.0 for option in range(len(kind.choices))]
            elif isinstance(kind, _Number):
                low, high = _ends(kind)
                value = math.log(params[name]) if kind.log else float(params[name])
                parts.append(2 * (value - low) / (high - low) - 1 if high > low else 0.0)
        return clipped(np.array(parts))

    def decode(self, point: Point) -> dict[str, Any]:
        """The parameters at a point; coordinates beyond -1..1 count as the nearest bound."""
        params: dict[str, Any] = {}
        start = 0
        for name, kind in self.space.items():
            part = np.clip(point[start : start + _width(kind)], -1, 1)
            start += len(part)
            if isinstance(kind, CategoricalDistribution):
                params[name] = kind.choices[int(part.argmax())]
            elif isinstance(kind, _Number):
                params[name] = _value(kind, float(part[0]))
        return params


def clipped(point: Point) -> Point:
    """The nearest point within the cube."""
    return np.asarray(np.clip(point, -1, 1), np.float64)


def _width(kind: BaseDistribution) -> int:
    return len(kind.choices) if isinstance(kind, CategoricalDistribution) else 1


def _ends(kind: _Number) -> tuple[float, float]:
    """The interval behind a coordinate: half a step more at both ends, so that each step has an equal share."""
    half = (kind.step or 0.0) / 2 if kind.low < kind.high else 0.0
    low, high = kind.low - half, kind.high + half
    return (math.log(low), math.log(high)) if kind.log else (low, high)


def _value(kind: _Number, coordinate: float) -> float:
    low, high = _ends(kind)
    value = low + (coordinate + 1) / 2 * (high - low)
    value = math.exp(value) if kind.log else value
    if kind.step:
        value = kind.low + round((value - kind.low) / kind.step) * kind.step
    value = min(max(value, kind.low), kind.high)
    return int(value) if isinstance(kind, IntDistribution) else float(value)

"""Is acting on a model worth it? Net benefit over the threshold at which one would act.

Vickers & Elkin 2006 (doi:10.1177/0272989X06295361): acting on every case whose probability reaches t, the net benefit
is TP/n − FP/n × t/(1 − t), true positives less false ones at the rate of exchange that choosing t implies. Acting on
all and acting on none (0) are what a model must beat.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from senoscope.schema import BoolArray

Floats = NDArray[np.float64]

THRESHOLDS: Floats = np.arange(1, 100) / 100
"""Where the curve is computed: 0.01 to 0.99."""


class DecisionCurve(NamedTuple):
    """Net benefit per case at each threshold: of the model, and of acting on all; of acting on none it is 0."""

    threshold: Floats
    model: Floats
    treat_all: Floats


def net_benefit(positive: BoolArray, probability: Floats, thresholds: Floats = THRESHOLDS) -> DecisionCurve:
    """The decision curve of N cases; thresholds lie strictly within 0..1. NaN without cases."""
    count = len(positive)
    if not count:
        empty = np.full(len(thresholds), np.nan)
        return DecisionCurve(thresholds, empty, empty)
    odds = thresholds / (1 - thresholds)
    acted = probability[None] >= thresholds[:, None]
    true, false = (acted & positive).sum(axis=1) / count, (acted & ~positive).sum(axis=1) / count
    share = float(positive.mean())
    return DecisionCurve(thresholds, true - false * odds, share - (1 - share) * odds)

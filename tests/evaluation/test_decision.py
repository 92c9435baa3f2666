"""Net benefit against a published formula worked by hand, plain counting, and its known limits."""

from __future__ import annotations

import numpy as np
import pytest

from senoscope.evaluation.decision import THRESHOLDS, net_benefit


def test_by_hand() -> None:
    # Ten cases, four of them positive. At 0.2 three true and two false: 3/10 − 2/10 × 0.2/0.8 = 0.25.
    positive = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    probability = np.array([0.9, 0.6, 0.2, 0.1, 0.7, 0.3, 0.1, 0.05, 0.0, 0.15])
    curve = net_benefit(positive, probability, np.array([0.2, 0.5, 0.8]))
    # At 0.5 two true and one false: 0.2 − 0.1; at 0.8 one true: 0.1. All: 0.4 − 0.6 × odds.
    assert curve.model == pytest.approx([0.25, 0.1, 0.1])
    assert curve.treat_all == pytest.approx([0.4 - 0.15, 0.4 - 0.6, 0.4 - 2.4])


def test_equal_to_counting() -> None:
    rng = np.random.default_rng(0)
    positive, probability = rng.random(200) < 0.3, np.round(rng.random(200), 2)
    curve = net_benefit(positive, probability)
    for threshold, value in zip(curve.threshold, curve.model, strict=True):
        called = probability >= threshold
        cost = threshold / (1 - threshold)
        assert value == pytest.approx(((called & positive).sum() - cost * (called & ~positive).sum()) / 200)


def test_limits() -> None:
    positive = np.array([True, False, False])
    perfect = net_benefit(positive, positive.astype(float))
    assert perfect.model == pytest.approx(np.full(len(THRESHOLDS), 1 / 3))
    certain = net_benefit(positive, np.ones(3))
    assert certain.model == pytest.approx(certain.treat_all)
    # treating all is worth as much as treating none where the threshold is the prevalence
    assert net_benefit(positive, np.ones(3), np.array([1 / 3])).treat_all == pytest.approx([0])
    assert np.isnan(net_benefit(positive[:0], np.ones(0)).model).all()

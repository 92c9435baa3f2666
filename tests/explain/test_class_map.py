from __future__ import annotations

import numpy as np
import pytest

from senoscope.explain.class_map import colours, enlarge, evidence, share_logits, to_unit


@pytest.fixture
def outputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class map 3×8×8, weights 8×8 that sum to 1, and the logits they make."""
    random = np.random.default_rng(0)
    class_map = random.normal(size=(3, 8, 8)).astype(np.float32)
    weights = random.random((8, 8)).astype(np.float32)
    weights /= weights.sum()
    return class_map, weights, np.einsum("cij,ij->c", class_map.astype(float), weights.astype(float))


def test_evidence_sums_to_the_difference_of_the_logits(outputs) -> None:
    class_map, weights, logits = outputs
    assert evidence(class_map, weights, 2, 1).sum() == pytest.approx(logits[2] - logits[1], abs=1e-6)


def test_enlarging_keeps_the_sum_up_to_the_growth_in_cells(outputs) -> None:
    class_map, weights, logits = outputs
    large = enlarge(evidence(class_map, weights, 2, 1), 256)
    assert large.shape == (256, 256)
    assert large.sum() / 32**2 == pytest.approx(logits[2] - logits[1], abs=1e-4)


def test_unit_map_is_the_evidence_up_to_one_factor() -> None:
    signed = np.array([[2.0, -1.0], [0.0, 0.5]], np.float32)
    assert to_unit(signed).tolist() == [[1.0, 0.25], [0.5, 0.625]]
    assert (to_unit(np.zeros((2, 2), np.float32)) == 0.5).all()


def test_shares_of_a_division_add_up_to_the_whole(outputs) -> None:
    class_map, weights, logits = outputs
    owner = np.random.default_rng(1).integers(0, 4, (8, 8))
    parts = [share_logits(class_map, weights, owner == index) for index in range(4)]
    assert sum(weight for _, weight in parts) == pytest.approx(1.0, abs=1e-6)
    assert sum(weight * part for part, weight in parts) == pytest.approx(logits, abs=1e-6)


def test_a_share_by_hand() -> None:
    class_map = np.array([[[1.0, 3.0], [5.0, 7.0]]], np.float32)
    weights = np.array([[0.5, 0.1], [0.3, 0.1]], np.float32)
    top = np.array([[True, True], [False, False]])
    logits, weight = share_logits(class_map, weights, top)
    assert weight == pytest.approx(0.6)
    assert logits[0] == pytest.approx((0.5 * 1 + 0.1 * 3) / 0.6)


def test_a_share_without_weight_still_has_evidence() -> None:
    class_map = np.array([[[1.0, 3.0], [5.0, 7.0]]], np.float32)
    weights = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    logits, weight = share_logits(class_map, weights, weights == 0)
    assert weight == 0
    assert logits[0] == pytest.approx(5.0)


def test_colours_say_which_way_and_how_strongly() -> None:
    toward, neutral, against, weak = colours(np.array([[1.0, 0.5, 0.0, 0.6]], np.float32))[0]
    assert neutral[3] == 0
    assert toward[3] == against[3] == 199
    assert 0 < weak[3] < toward[3]
    assert toward[0] > toward[2]  # orange: more red than blue
    assert against[2] > against[0]  # blue

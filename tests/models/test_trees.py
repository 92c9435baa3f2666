"""Boosted trees as tensors give what LightGBM gives."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import torch

from senoscope.models.blocks.boosting import defaults, grow, tuned
from senoscope.models.blocks.trees import Trees


def blobs(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features N×6, of which the first three tell the classes apart (noisily), and labels."""
    generator = np.random.default_rng(3)
    labels = np.arange(count) % classes
    features = generator.normal(size=(count, 6))
    features[:, :classes] += 1.5 * np.eye(classes)[labels]
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_sums_of_leaves_are_lightgbms(classes: int) -> None:
    features, labels = blobs(150, classes)
    trees = Trees(classes, rounds=30, leaves=15, depth=5)
    settings = defaults(trees, len(labels), seed=0) | {"num_threads": 1}
    trees.fill(grow(features, labels, settings))
    booster = lightgbm.train(settings, lightgbm.Dataset(features, labels))
    unseen = np.random.default_rng(4).normal(size=(500, 6)).astype(np.float32) * 2
    wanted = booster.predict(unseen, raw_score=True)
    assert np.ptp(wanted) > 2, "trees that split"
    np.testing.assert_allclose(trees(torch.from_numpy(unseen)).numpy(), wanted, atol=1e-5)


def test_a_feature_that_equals_a_threshold_goes_left_as_in_lightgbm() -> None:
    features, labels = blobs(150, 3)
    trees = Trees(3, rounds=30, leaves=15, depth=5)
    settings = defaults(trees, len(labels), seed=0) | {"num_threads": 1}
    trees.fill(grow(features, labels, settings))
    booster = lightgbm.train(settings, lightgbm.Dataset(features, labels))
    splits = trees.left != torch.arange(len(trees.left))
    used = splits & (trees.threshold.abs() > 1e-30)  # LightGBM takes what is smaller for zero
    on_edge = features[:100].copy()
    for row, node in enumerate(used.nonzero()[:100, 0]):
        on_edge[row, trees.feature[node]] = trees.threshold[node]
    wanted = booster.predict(on_edge, raw_score=True)
    np.testing.assert_allclose(trees(torch.from_numpy(on_edge)).numpy(), wanted, atol=1e-5)


def test_filling_again_leaves_nothing_of_the_old_trees() -> None:
    features, labels = blobs(150, 3)
    trees, fresh = (Trees(3, rounds=30, leaves=15, depth=5) for _ in range(2))
    settings = defaults(trees, len(labels), seed=0) | {"num_threads": 1}
    trees.fill(grow(features, labels, settings))
    few = settings | {"num_iterations": 4, "num_leaves": 3}
    trees.bias += 1
    for each in (trees, fresh):
        each.fill(grow(features, labels, few))
    inputs = torch.from_numpy(features)
    torch.testing.assert_close(trees(inputs), fresh(inputs))


def test_tuning_finds_settings_no_worse_than_any_it_tried_and_says_the_same_twice() -> None:
    features, labels = blobs(60, 3)
    trees = Trees(3, rounds=20, leaves=7, depth=4)
    chosen = tuned(features, labels, trees, seed=0, trials=3)
    assert chosen == tuned(features, labels, trees, seed=0, trials=3)
    assert 1 <= chosen["num_iterations"] <= 20
    assert "lambda_l2" in chosen
    assert chosen["num_leaves"] <= 7


def test_too_few_images_of_a_class_leave_the_defaults() -> None:
    features, labels = blobs(12, 3)
    trees = Trees(3)
    assert tuned(features, labels, trees, seed=0, trials=3) == defaults(trees, 12, seed=0)

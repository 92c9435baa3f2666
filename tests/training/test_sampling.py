from __future__ import annotations

import numpy as np
import pytest

from senoscope.errors import ConfigError
from senoscope.training.sampling import order

LABELS = np.array([0] * 10 + [1] * 4 + [2] * 3 + [-1] * 5)


def counts(chosen: np.ndarray) -> dict[int, int]:
    return {label: int((LABELS[chosen] == label).sum()) for label in (0, 1, 2, -1)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_natural_is_the_generators_permutation() -> None:
    assert order(LABELS, "natural", rng()).tolist() == rng().permutation(22).tolist()


def test_over_repeats_rare_classes_evenly() -> None:
    chosen = order(LABELS, "over", rng())
    assert counts(chosen) == {0: 10, 1: 10, 2: 10, -1: 5}
    times = np.bincount(chosen, minlength=22)
    assert times[:10].tolist() == [1] * 10
    assert sorted(times[10:14].tolist()) == [2, 2, 3, 3]  # 10 = 2 × 4 + 2
    assert sorted(times[14:17].tolist()) == [3, 3, 4]  # 10 = 3 × 3 + 1
    assert times[17:].tolist() == [1] * 5


def test_under_cuts_common_classes_without_repeats() -> None:
    chosen = order(LABELS, "under", rng())
    assert counts(chosen) == {0: 3, 1: 3, 2: 3, -1: 5}
    assert len(set(chosen.tolist())) == 14
    seen = {int(i) for epoch in range(40) for i in order(LABELS, "under", rng(epoch))}
    assert seen == set(range(22)), "other images of the common class every epoch"


@pytest.mark.parametrize("sampling", ["natural", "over", "under"])
def test_an_epoch_is_a_function_of_its_generator(sampling: str) -> None:
    first, again, other = (order(LABELS, sampling, rng(seed)) for seed in (3, 3, 4))
    assert first.dtype == np.int64
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(first) == len(other)
    assert np.any(np.diff(LABELS[first]) < 0), "classes are mixed"


@pytest.mark.parametrize("sampling", ["natural", "over", "under"])
@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [2, 2, -1]])
def test_nothing_to_balance(sampling: str, labels: list[int]) -> None:
    chosen = order(np.array(labels, np.int64), sampling, rng())
    assert sorted(chosen.tolist()) == list(range(len(labels)))


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="natural, over, under"):
        order(LABELS, "most", rng())

"""Paired tests against SciPy, by enumeration, worked by hand, and by their false alarms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from senoscope.evaluation.classification import Task, area_under_curve
from senoscope.evaluation.estimator import mean
from senoscope.evaluation.paired import holm, mcnemar, paired_difference, permutation, wilcoxon


def answers(both: int, only_first: int, only_second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, only_first, only_second, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_mcnemar_published() -> None:
    """Fagerland et al. 2013, table 1 (airway hyper-responsiveness): 1 and 7 discordant pairs of 21."""
    first, second = answers(1, 1, 7, 12)
    exact, mid = mcnemar(first, second), mcnemar(first, second, mid_p=True)
    assert exact.p == pytest.approx(0.0703, abs=5e-5)
    assert mid.p == pytest.approx(0.0391, abs=5e-5)
    assert (exact.first, exact.second, exact.n, exact.statistic) == (2 / 21, 8 / 21, 21, 1)
    assert exact.difference == pytest.approx(-6 / 21)


def test_mcnemar_by_hand() -> None:
    # 2 against 0: P(0 or 2 of 2) = 1/2; mid-p counts half of the observed table on both sides: 1/4
    first, second = answers(5, 2, 0, 1)
    assert mcnemar(first, second).p == pytest.approx(0.5)
    assert mcnemar(first, second, mid_p=True).p == pytest.approx(0.25)
    even = answers(3, 2, 2, 0)
    assert mcnemar(*even).p == mcnemar(*even, mid_p=True).p == 1
    assert mcnemar(first, first).p == 1


@pytest.mark.parametrize("count", [12, 200])
def test_wilcoxon_is_scipys(count: int) -> None:
    rng = np.random.default_rng(count)
    first, second = rng.random(count), rng.random(count) ** 1.3
    theirs = stats.wilcoxon(first, second)
    ours = wilcoxon(first, second)
    assert (ours.statistic, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    cluster = np.arange(count) // 2
    theirs = stats.wilcoxon((first - second).reshape(-1, 2).mean(1))
    assert wilcoxon(first, second, cluster).p == pytest.approx(theirs.pvalue)
    assert ours.difference == pytest.approx(first.mean() - second.mean())
    assert wilcoxon(first, first, cluster).p == 1


def test_permutation_by_enumeration() -> None:
    difference = np.array([0.3, 0.1, -0.2, 0.4, 0.25, 0.05, -0.1, 0.2])
    cluster = np.array([0, 0, 1, 1, 2, 3, 3, 4])
    sums = np.array([difference[cluster == c].sum() for c in range(5)])
    flipped = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=5)]
    exact = np.mean([value >= abs(sums.sum()) - 1e-12 for value in flipped])
    found = permutation(difference, np.zeros(8), cluster, flips=40_000)
    assert found.p == pytest.approx(exact, abs=0.008)  # three standard errors
    assert found.statistic == pytest.approx(difference.mean())
    assert permutation(difference, difference, cluster).p == 1


def test_permutation_equals_scipy_and_exact_mcnemar() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.random(40), rng.random(40) + 0.12
    theirs = stats.permutation_test(
        (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=20_000, rng=1
    )
    assert permutation(first, second, flips=20_000).p == pytest.approx(theirs.pvalue, abs=0.01)
    right = answers(20, 9, 2, 4)
    assert permutation(*right, flips=40_000).p == pytest.approx(mcnemar(*right).p or 0, abs=0.006)


def test_permutation_is_seeded_and_never_zero() -> None:
    first, second = np.ones(60), np.zeros(60)
    assert permutation(first, second, flips=999).p == 1 / 1000
    values = np.random.default_rng(0).normal(0.1, 1, 30)
    runs = [permutation(values, np.zeros(30), flips=500, seed=seed).p for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_clusters_keep_the_level() -> None:
    """No difference, five copies of each case: treating them as independent rejects far too often."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(30), 5)
    naive = clustered = 0
    for _ in range(300):
        values = rng.normal(size=30)[cluster]
        naive += (permutation(values, np.zeros(150), flips=199).p or 1) < 0.05
        clustered += (permutation(values, np.zeros(150), cluster, flips=199).p or 1) < 0.05
    assert clustered / 300 <= 0.09
    assert naive / 300 > 0.2


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, and no value below the one before it
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_paired_difference_is_the_bootstrap_of_differences() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(80), rng.random(80)
    rows = np.ones(80, bool)
    ours = paired_difference(mean(first, rows), mean(second, rows), np.arange(80), resamples=20_000)
    level = 1 - 2 * stats.norm.sf(stats.t.ppf(0.975, 79) * np.sqrt(80 / 79))  # as wide as Student's t asks
    theirs = stats.bootstrap(
        (first - second,), np.mean, n_resamples=20_000, method="percentile", rng=1, confidence_level=level
    ).confidence_interval
    assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.003)
    apart = paired_difference(mean(first, rows), mean(first, rows), np.arange(80))
    assert (apart["value"], apart["low"], apart["high"]) == (0, 0, 0)


def test_paired_difference_on_different_rows() -> None:
    values = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    one, two = np.array([1, 1, 1, 0, 0], bool), np.array([0, 0, 1, 1, 1], bool)
    found = paired_difference(mean(values, one), mean(values, two), np.arange(5), resamples=50)
    assert found["value"] == pytest.approx(2 - 16 / 3)
    assert found["n"] == 5


def test_paired_difference_of_areas_agrees_with_delong() -> None:
    from senoscope.evaluation.delong import compare_auc

    rng = np.random.default_rng(3)
    positive = rng.random(300) < 0.4
    first, second = rng.normal(size=(2, 300)) + positive
    rows = np.ones(300, bool)
    tasks = [area_under_curve(Task(rows, positive, score)) for score in (first, second)]
    found, theirs = paired_difference(*tasks, np.arange(300)), compare_auc(positive, first, second)
    assert found["value"] == pytest.approx(theirs.difference)
    assert (found["low"], found["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.01)

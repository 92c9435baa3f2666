"""The clustered bootstrap against SciPy, by exact enumeration, and by its coverage."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import stats

from senoscope.evaluation.bootstrap import _corrected, bootstrap
from senoscope.evaluation.cases import from_rows
from senoscope.evaluation.classification import Task, area_under_curve
from senoscope.evaluation.estimator import mean, ratio
from senoscope.evaluation.metrics import estimators


def everyone(count: int) -> np.ndarray:
    return np.ones(count, bool)


def widened(clusters: int, level: float = 0.95) -> float:
    """The level that a plain bootstrap needs to reach as far as Student's t of so many clusters (Hesterberg 2015)."""
    reach = stats.t.ppf((1 + level) / 2, clusters - 1) * np.sqrt(clusters / (clusters - 1))
    return float(1 - 2 * stats.norm.sf(reach))


@pytest.mark.parametrize(("corrected", "method"), [(True, "BCa"), (False, "percentile")])
def test_unclustered_equals_scipy(corrected: bool, method: str) -> None:
    values = np.random.default_rng(0).exponential(size=40)
    figure = {"mean": mean(values, everyone(40))}
    ours = bootstrap(figure, np.arange(40), resamples=40000, seed=1, corrected=corrected)["mean"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40000, method=method, rng=2, confidence_level=widened(40)
    ).confidence_interval
    assert ours["value"] == pytest.approx(values.mean())
    assert ours["low"] == pytest.approx(theirs.low, abs=0.01)
    assert ours["high"] == pytest.approx(theirs.high, abs=0.015)


def test_correction_by_hand() -> None:
    """Efron 1987: 40 % of draws lie below, the jackknife values are 1, 2, 6."""
    draws = np.linspace(0, 1, 2001)
    ends = _corrected(np.array([-1.0, 1.0]), 0.4, draws, np.array([1.0, 2.0, 6.0]))
    bias = stats.norm.ppf((800 + 0.5) / 2001)
    skewness = (2**3 + 1 - 3**3) / (6 * (4 + 1 + 9) ** 1.5)
    expected = [bias + (bias + z) / (1 - skewness * (bias + z)) for z in (-1, 1)]
    assert ends == pytest.approx(expected)


def pairwise_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs in order, ties one half: the definition, without any ranking."""
    positive = positive.astype(bool)  # SciPy hands on both arrays in one type
    above = score[positive][:, None] - score[~positive][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def test_unclustered_auc_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(60) < 0.5
    score = rng.normal(size=60) + positive
    figure = area_under_curve(Task(everyone(60), positive, score))
    ours = bootstrap({"auc": figure}, np.arange(60), resamples=4000)["auc"]
    theirs = stats.bootstrap(
        (positive, score), pairwise_auc, paired=True, vectorized=False, method="BCa",
        n_resamples=4000, rng=1, confidence_level=widened(60),
    ).confidence_interval  # fmt: skip
    assert ours["value"] == pytest.approx(pairwise_auc(positive, score))
    assert (ours["low"], ours["high"]) == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_clusters_by_enumeration() -> None:
    # Three clusters {1, 2}, {3}, {10}: all 27 draws are known, weighted by size, not cluster means.
    values, cluster = np.array([1.0, 2.0, 3.0, 10.0]), np.array([7, 7, 3, 5])
    members = [[1.0, 2.0], [3.0], [10.0]]
    exact = [np.mean([v for c in draw for v in members[c]]) for draw in product(range(3), repeat=3)]
    exact = np.repeat(exact, 1000)  # quantiles of steps, as in as many draws
    figure = {"mean": mean(values, everyone(4))}
    got = bootstrap(figure, cluster, resamples=50000, level=0.5, corrected=False)["mean"]
    tail = (1 - widened(3, 0.5)) / 2
    assert tail == pytest.approx(
        0.159, abs=1e-3
    )  # t with 2 degrees of freedom at 0.75 is 0.816; times √1.5 is 1
    assert got == {
        "value": 4.0,
        "low": pytest.approx(np.quantile(exact, tail), abs=1e-9),
        "high": pytest.approx(np.quantile(exact, 1 - tail), abs=1e-9),
        "n": 4,
    }


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(50), 8)
    values = rng.normal(size=50)[cluster] + 0.1 * rng.normal(size=400)
    widths = [
        got["high"] - got["low"]
        for got in (bootstrap({"m": mean(values, everyone(400))}, c)["m"] for c in (cluster, np.arange(400)))
    ]
    # the variance of a mean of 8-fold copies is 8 times the naive one
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(8), rel=0.2)


def test_coverage() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        cluster = np.repeat(np.arange(40), rng.integers(1, 4, size=40))
        values = rng.normal(size=40)[cluster] + rng.normal(size=len(cluster))
        got = bootstrap({"m": mean(values, everyone(len(values)))}, cluster, resamples=400, seed=trial)["m"]
        held += got["low"] <= 0 <= got["high"]
    assert 0.9 <= held / 200 <= 0.99  # nominal 0.95; ± 3 standard errors


def test_seeded_and_order_free() -> None:
    values = np.random.default_rng(0).random(30)
    figures = {"m": mean(values, everyone(30))}
    cluster = np.arange(30) // 3
    assert bootstrap(figures, cluster, seed=3) == bootstrap(figures, cluster, seed=3)
    assert bootstrap(figures, cluster, seed=3) != bootstrap(figures, cluster, seed=4)
    assert bootstrap(figures, cluster * 100 + 7, seed=3) == bootstrap(figures, cluster, seed=3)


def test_rows_outside_are_ignored() -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan, 1e9])
    rows = np.array([True, True, True, False, False])
    got = bootstrap({"m": mean(values, rows)}, np.arange(5))["m"]
    assert (got["value"], got["n"]) == (2.0, 3)
    assert 1 <= got["low"] <= got["high"] <= 3


def test_degenerate_resamples() -> None:
    # One positive among four: about a third of the resamples have none, and are left out.
    positive = np.array([True, False, False, False])
    score = np.array([0.9, 0.2, 0.95, 0.1])
    got = bootstrap({"auc": area_under_curve(Task(everyone(4), positive, score))}, np.arange(4))["auc"]
    assert got["value"] == pytest.approx(2 / 3)
    assert 0 <= got["low"] < got["high"] <= 1
    one_class = bootstrap({"auc": area_under_curve(Task(everyone(4), everyone(4), score))}, np.arange(4))[
        "auc"
    ]
    assert one_class == {"value": None, "low": None, "high": None, "n": 4}


def test_no_interval_from_one_cluster_or_rare_definition() -> None:
    values = np.arange(10.0)
    alone = bootstrap({"m": mean(values, everyone(10))}, np.zeros(10, int))["m"]
    assert (alone["value"], alone["low"], alone["high"]) == (4.5, None, None)
    never = bootstrap({"m": ratio(1.0, 1.0, np.zeros(10, bool))}, np.arange(10))["m"]
    assert never == {"value": None, "low": None, "high": None, "n": 0}


def test_share_at_the_end_is_exact() -> None:
    got = bootstrap({"s": mean(np.zeros(30, bool), everyone(30))}, np.arange(30))["s"]
    exact = stats.binomtest(0, 30).proportion_ci(method="exact")
    assert (got["low"], got["high"]) == pytest.approx((exact.low, exact.high))
    all_of_20 = bootstrap({"s": mean(np.ones(40, bool), everyone(40))}, np.arange(40) // 2)["s"]
    assert all_of_20["low"] == pytest.approx(stats.binomtest(20, 20).proportion_ci(method="exact").low)


def test_chunks_cover_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("senoscope.evaluation.bootstrap._CHUNK_CELLS", 300)
    values = np.random.default_rng(0).random(30)
    seen: list[int] = []

    def of(weights: np.ndarray) -> np.ndarray:
        if weights.ndim > 1:
            seen.append(len(weights))
            assert (weights.sum(-1) == 30).all()
        return weights @ values / weights.sum(-1)

    from senoscope.evaluation.estimator import Estimator

    bootstrap({"m": Estimator(np.arange(30), of)}, np.arange(30), resamples=105, corrected=False)
    assert seen == [10] * 10 + [5]


def test_quick_enough(simulate: Callable[..., list[dict[str, object]]]) -> None:
    table = from_rows(simulate(2000, valid=False))
    start = time.process_time()
    bootstrap(estimators(table), table.cluster)
    assert time.process_time() - start < 5

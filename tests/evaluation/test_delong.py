"""DeLong's test against two published examples, an independent O(m·n) implementation, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from senoscope.errors import UsageError
from senoscope.evaluation.delong import auc_interval, auc_variance, compare_auc

# The ovarian cancer patients of DeLong et al. 1988 who have all three tests (43 of 49): albumin, total protein, K-G
# score and whether surgery helped, as printed in SAS/STAT's documentation of PROC LOGISTIC, "Comparing Receiver
# Operating Characteristic Curves" (example 72.8 of release 14.1, support.sas.com/documentation/cdl/en/statug/68162/
# HTML/default/statug_logistic_examples08.htm). The figures are those of its output.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


# WFNS grade and S100 beta of 113 patients with a subarachnoid haemorrhage (Turck et al. 2010), the example of pROC
# (Robin et al. 2011, doi:10.1186/1471-2105-12-77). Levels stand for values: they order the patients as the DeLong
# placements in pROC's own tests do (github.com/xrobin/pROC, tests/testthat/helper-deLongPlacementsCpp-expected.R), and
# only the order counts. The first 41 had a poor outcome.
WFNS = """
2 1 3 4 4 4 4 1 4 1 0 1 4 3 3 1 4 4 4 1 4 1 4 1 3 4 3 3 0 3 3 1 1 4 4 1 1 4 4 4 4 0 0 0 0 4 0 1 1 0 1 1 0 0
0 1 0 1 0 0 2 3 0 3 0 4 4 0 0 1 3 0 0 1 1 0 1 0 1 1 0 0 0 0 1 0 1 0 0 2 1 3 1 0 3 0 0 4 3 1 1 0 0 0 2 0 1 1
3 3 0 0 0
"""
S100B = """
8 5 11 7 25 30 28 2 19 4 2 23 21 27 30 15 30 30 30 2 30 17 0 4 13 30 15 30 3 15 8 5 6 13 30 9 30 18 30 30 25
8 9 5 1 26 12 5 5 1 3 1 4 6 2 12 2 6 8 12 1 11 9 20 4 29 26 11 2 24 26 6 3 4 3 1 8 5 9 10 1 1 4 1 4 3 11 4 3
19 6 16 2 5 18 2 1 14 22 5 10 3 9 5 2 1 12 10 26 12 10 29 27
"""


@pytest.fixture(scope="module")
def ovarian() -> dict[str, np.ndarray]:
    cells = np.array(OVARIAN.split(), float).reshape(-1, 4)
    return {
        "albumin": cells[:, 0],
        "protein": cells[:, 1],
        "kg": 10 - cells[:, 2],
        "helped": cells[:, 3] == 1,
    }


@pytest.mark.parametrize(
    ("test", "area", "error"),
    [("albumin", 0.7366, 0.0927), ("kg", 0.7258, 0.1028), ("protein", 0.6478, 0.1000)],
)
def test_published_areas(ovarian: dict[str, np.ndarray], test: str, area: float, error: float) -> None:
    found = auc_interval(ovarian["helped"], ovarian[test])
    assert found["value"] == pytest.approx(area, abs=5e-5)
    assert found["n"] == 43
    assert np.sqrt(auc_variance(ovarian["helped"], ovarian[test])) == pytest.approx(error, abs=5e-5)
    logit_error = error / (area * (1 - area))
    low = 1 / (1 + np.exp(-(np.log(area / (1 - area)) - 1.959964 * logit_error)))
    assert found["low"] == pytest.approx(low, abs=5e-4)


@pytest.mark.parametrize(
    ("test", "difference", "low", "high", "chi_square", "p"),
    [
        ("albumin", 0.0108, -0.1761, 0.1976, 0.0127, 0.9102),
        ("protein", -0.0780, -0.2830, 0.1271, 0.5554, 0.4561),
    ],
)
def test_published_comparison(
    ovarian: dict[str, np.ndarray],
    test: str,
    difference: float,
    low: float,
    high: float,
    chi_square: float,
    p: float,
) -> None:
    found = compare_auc(ovarian["helped"], ovarian[test], ovarian["kg"])
    assert found.difference == pytest.approx(difference, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
    assert found.statistic is not None
    assert found.statistic**2 == pytest.approx(chi_square, abs=6e-5)
    assert found.p == pytest.approx(p, abs=6e-5)


def test_published_example_of_proc() -> None:
    """Areas and variances of pROC's test-var.R, z, p and interval of its test-roc.test.R."""
    poor = np.arange(113) < 41
    wfns, s100b = (np.array(text.split(), float) for text in (WFNS, S100B))
    assert auc_variance(poor, wfns) == pytest.approx(0.00146991470882363, rel=1e-10)
    assert auc_variance(poor, s100b) == pytest.approx(0.00266868245717244, rel=1e-10)
    found = compare_auc(poor, wfns, s100b)
    assert (found.first, found.second) == pytest.approx((0.823678861788618, 0.731368563685637), abs=1e-12)
    assert found.statistic == pytest.approx(2.20898359144091, rel=1e-10)
    assert found.p == pytest.approx(0.0271757822291882, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((0.0104061769564846, 0.174214419249478), rel=1e-10)


def slow_covariance(positive: np.ndarray, scores: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Obuchowski's equations written out with loops over clusters, from the m × n matrix of comparisons."""
    size = len(scores)
    psi = [
        (s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive]) for s in scores
    ]
    theta, m, n = [p.mean() for p in psi], positive.sum(), (~positive).sum()
    names = np.unique(cluster)
    s10, s01, s11 = (np.zeros((size, size)) for _ in range(3))
    for name in names:
        mine_up, mine_down = cluster[positive] == name, cluster[~positive] == name
        up = np.array([p.mean(1)[mine_up].sum() - mine_up.sum() * t for p, t in zip(psi, theta, strict=True)])
        down = np.array(
            [p.mean(0)[mine_down].sum() - mine_down.sum() * t for p, t in zip(psi, theta, strict=True)]
        )
        s10, s01, s11 = s10 + np.outer(up, up), s01 + np.outer(down, down), s11 + np.outer(up, down)
    i10, i01, i = len(np.unique(cluster[positive])), len(np.unique(cluster[~positive])), len(names)
    s10, s01, s11 = s10 * i10 / ((i10 - 1) * m), s01 * i01 / ((i01 - 1) * n), s11 * i / (i - 1)
    return s10 / m + s01 / n + (s11 + s11.T) / (m * n)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clustered", [True, False])
def test_equal_to_the_definition(seed: int, clustered: bool) -> None:
    rng = np.random.default_rng(seed)
    cluster = np.sort(rng.integers(0, 30, 90)) if clustered else np.arange(90)
    positive = rng.random(90) < 0.4
    first, second = np.round(rng.normal(size=(2, 90)) + positive, 1)
    expected = slow_covariance(positive, np.stack([first, second]), cluster)
    assert auc_variance(positive, first, cluster) == pytest.approx(expected[0, 0], rel=1e-10)
    found = compare_auc(positive, first, second, cluster)
    spread = np.sqrt(expected[0, 0] + expected[1, 1] - 2 * expected[0, 1])
    assert found.statistic == pytest.approx(found.difference / spread, rel=1e-10)
    assert found.p == pytest.approx(2 * norm.sf(abs(found.statistic or 0)))
    if not clustered:
        assert auc_variance(positive, first) == pytest.approx(expected[0, 0], rel=1e-10)


def test_copies_of_a_case_add_nothing() -> None:
    rng = np.random.default_rng(1)
    positive, score = rng.random(60) < 0.5, rng.normal(size=60)
    thrice = np.repeat(np.arange(60), 3)
    clustered = auc_variance(positive[thrice], score[thrice], thrice)
    assert clustered == pytest.approx(auc_variance(positive, score), rel=1e-10)
    assert auc_variance(positive[thrice], score[thrice]) < 0.4 * clustered


def test_false_alarms_and_variance_in_simulation() -> None:
    """Two equally good correlated scores in clusters of three: 5 % of tests reject, and the variance is right."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(60), 3)
    alarms, areas, variances = 0, [], []
    for _ in range(600):
        positive = rng.random(60)[cluster] < 0.5
        shared = rng.normal(size=60)[cluster] + positive
        own = rng.normal(size=(2, 60))[:, cluster] + 0.3 * rng.normal(size=(2, 180))
        found = compare_auc(positive, shared + own[0], shared + own[1], cluster)
        alarms += (found.p or 0) < 0.05
        areas.append(found.first)
        variances.append(auc_variance(positive, shared + own[0], cluster))
    assert 0.03 <= alarms / 600 <= 0.08  # 0.05 ± 3 standard errors
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.2)


def test_edges() -> None:
    positive = np.array([True, True, True, False, False, False])
    score = np.arange(6.0)
    same = compare_auc(positive, score, np.exp(score))
    assert (same.difference, same.p, same.low, same.high) == (0, 1, 0, 0)
    assert compare_auc(positive, score, -score).p is None  # two exact areas: no variance to judge by
    assert auc_interval(positive, -score) == {"value": 1.0, "low": None, "high": None, "n": 6}
    assert np.isnan(auc_variance(np.array([True, False, False]), np.arange(3.0)))
    with pytest.raises(UsageError, match="3 positives of 3"):
        compare_auc(np.ones(3, bool), np.arange(3.0), np.arange(3.0))

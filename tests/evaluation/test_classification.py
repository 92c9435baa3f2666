"""Class figures against scikit-learn, by hand, and by their properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from senoscope.evaluation.cases import from_rows
from senoscope.evaluation.classification import (
    BENIGN,
    MALIGNANT,
    balanced_accuracy,
    benign_malignant,
    class_estimators,
    confusion,
)
from senoscope.evaluation.metrics import TITLES, estimators, point_estimates
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES

sk = pytest.importorskip("sklearn.metrics")
Simulate = Callable[..., list[dict[str, object]]]


def table_of(labels: list[str], shares: list[tuple[float, float, float]]) -> PredictionTable:
    return from_rows(
        [
            {"id": str(i), "label": label or None, "p_normal": n, "p_benign": b, "p_malignant": m}
            for i, (label, (n, b, m)) in enumerate(zip(labels, shares, strict=True))
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learn(simulate: Simulate, seed: int) -> None:
    table = from_rows(simulate(200, seed=seed, valid=False))
    truth, shares = table.label, table.probabilities
    chosen = shares.argmax(1)
    got = point_estimates(table)
    expected = {
        "accuracy": sk.accuracy_score(truth, chosen),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, chosen),
        "log_loss": sk.log_loss(truth, shares),
        "brier": sum(sk.brier_score_loss(truth == c, shares[:, c]) for c in range(3)),
    }
    for code, name in enumerate(CLASSES):
        expected[f"sensitivity_{name}"] = sk.recall_score(truth == code, chosen == code)
        expected[f"specificity_{name}"] = sk.recall_score(truth != code, chosen != code)
        expected[f"auc_{name}_rest"] = sk.roc_auc_score(truth == code, shares[:, code])
        expected[f"ap_{name}_rest"] = sk.average_precision_score(truth == code, shares[:, code])
    lesions = truth > 0
    malignant = truth[lesions] == MALIGNANT
    score = shares[lesions, MALIGNANT] / (shares[lesions, MALIGNANT] + shares[lesions, BENIGN])
    expected |= {
        "auc_benign_malignant": sk.roc_auc_score(malignant, score),
        "ap_benign_malignant": sk.average_precision_score(malignant, score),
        "accuracy_benign_malignant": sk.accuracy_score(malignant, score >= 0.5),
        "sensitivity_benign_malignant": sk.recall_score(malignant, score >= 0.5),
        "specificity_benign_malignant": sk.recall_score(~malignant, score < 0.5),
    }
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-9), name
    np.testing.assert_array_equal(confusion(table), sk.confusion_matrix(truth, chosen))


def test_by_hand() -> None:
    table = table_of(
        ["normal", "benign", "benign", "malignant", ""],
        [(0.8, 0.1, 0.1), (0.5, 0.3, 0.2), (0.1, 0.6, 0.3), (0.1, 0.2, 0.7), (0, 0, 1)],
    )
    got = point_estimates(table)
    assert got["accuracy"] == 0.75  # the unlabelled case does not count
    assert got["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert got["specificity_normal"] == pytest.approx(2 / 3)
    assert got["brier"] == pytest.approx((0.06 + 0.78 + 0.26 + 0.14) / 4)
    assert got["auc_benign_malignant"] == 1.0


def test_score_is_exact_where_both_probabilities_vanish() -> None:
    rows = [
        {"id": str(i), "label": label, "p_normal": 1.0, "p_benign": 0.0, "p_malignant": 0.0,
         "logit_normal": 900.0, "logit_benign": 0.0, "logit_malignant": odds}
        for i, (label, odds) in enumerate([("benign", -1.0), ("malignant", 1.0), ("normal", 0.0)])
    ]  # fmt: skip
    task = benign_malignant(from_rows(rows))
    np.testing.assert_allclose(task.score, 1 / (1 + np.exp([1.0, -1.0, 0.0])))
    assert task.rows.tolist() == [True, True, False]
    bare = [{key: value for key, value in row.items() if "logit" not in key} for row in rows]
    assert benign_malignant(from_rows(bare)).score.tolist() == [0.5, 0.5, 0.5]  # nothing known of either


def test_perfect_and_reversed() -> None:
    labels = ["normal", "benign", "malignant"] * 5
    eye = [tuple(np.eye(3)[CLASSES.index(label)]) for label in labels]
    perfect = point_estimates(table_of(labels, eye))
    for name in ("brier", "ece", "ece_equal_mass", "log_loss"):
        assert perfect.pop(name) == pytest.approx(0, abs=1e-6)
    assert np.isnan(perfect.pop("calibration_slope"))  # classes apart: no slope is steep enough
    assert perfect.pop("calibration_intercept") == pytest.approx(0, abs=1e-6)
    assert set(perfect.values()) == {1.0}
    swapped = [(n, m, b) for n, b, m in eye]
    assert point_estimates(table_of(labels, swapped))["auc_benign_malignant"] == 0.0


def test_balanced_accuracy_under_weights(simulate: Simulate) -> None:
    table = from_rows(simulate(60, valid=False))
    chosen = table.probabilities.argmax(1)
    figure = balanced_accuracy(table.label, chosen, np.ones(60, bool))
    weights = np.random.default_rng(0).integers(0, 3, size=(4, 60)).astype(float)
    expected = [sk.balanced_accuracy_score(table.label, chosen, sample_weight=w) for w in weights]
    np.testing.assert_allclose(figure.of(weights), expected)


def test_only_what_the_labels_allow() -> None:
    two = table_of(["benign", "malignant"], [(0, 0.9, 0.1), (0, 0.2, 0.8)])
    assert "sensitivity_normal" not in class_estimators(two)
    assert "auc_benign_malignant" in class_estimators(two)
    one = class_estimators(table_of(["normal"], [(1, 0, 0)]))
    assert "accuracy" in one
    assert not [name for name in one if name.startswith(("auc", "specificity"))]
    assert class_estimators(table_of([""], [(1, 0, 0)])) == {}


def test_every_figure_has_a_title(simulate: Simulate) -> None:
    table = from_rows(simulate(200, valid=False))
    assert set(estimators(table)) == set(TITLES) - {"dice_normal"}

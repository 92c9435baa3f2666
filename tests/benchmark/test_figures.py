"""Figures of one entry against values worked out by hand or by scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from senoscope.benchmark.figures import FIGURES, measure
from senoscope.benchmark.jobs import Job
from senoscope.evaluation.cases import from_rows
from senoscope.evaluation.table import PredictionTable

Rows = Callable[..., list[dict[str, Any]]]


def case(name: str, label: str, chosen: str, dice: float | None, found: int = 100) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": name,
        "dataset": "made",
        "label": label,
        "has_mask": True,
        "width": 100,
        "height": 100,
    }
    row |= {f"p_{each}": 0.8 if each == chosen else 0.1 for each in ("normal", "benign", "malignant")}
    if dice is None:
        return row | {"area_true": 0, "area_pred": found, "intersection": 0}
    common = round(dice * 100)
    return row | {
        "area_true": 100,
        "area_pred": 100,
        "intersection": common,
        "dice": dice,
        "iou": common / (200 - common),
    }


def table_of(*rows: dict[str, Any]) -> PredictionTable:
    return from_rows(list(rows))


FIRST = (
    case("n1", "normal", "normal", None, found=0),
    case("n2", "normal", "benign", None, found=7),
    case("b1", "benign", "benign", 0.8),
    case("b2", "benign", "malignant", 0.6),
    case("b3", "benign", "benign", 0.4),
    case("m1", "malignant", "malignant", 0.5),
)


def test_figures_by_hand() -> None:
    figures = measure([table_of(*FIRST)]).figures
    assert figures["accuracy"]["value"] == pytest.approx(4 / 6)
    assert figures["balanced_accuracy"]["value"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    # m1's score 0.8 / 0.9 beats b1 and b3 (0.1 / 0.9) and ties with b2.
    assert figures["auc_benign_malignant"]["value"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert figures["dice"]["value"] == pytest.approx((0.8 + 0.6 + 0.4 + 0.5) / 4)
    assert figures["iou"]["value"] == pytest.approx((80 / 120 + 60 / 140 + 40 / 160 + 50 / 150) / 4)
    assert figures["false_positive_rate"]["value"] == pytest.approx(1 / 2)
    assert [figures[name]["n"] for name in ("accuracy", "dice", "false_positive_rate")] == [6, 4, 2]
    assert "ece" not in figures, "no validation rows, so no temperature"
    assert list(figures) == [name for name in FIGURES if name in figures]


def test_seeds_are_averaged_and_cases_counted_once() -> None:
    second = [dict(row) for row in FIRST]
    second[2] = case("b1", "benign", "malignant", 0.2)
    figures = measure([table_of(*FIRST), table_of(*second)]).figures
    assert figures["accuracy"]["value"] == pytest.approx((4 / 6 + 3 / 6) / 2)
    assert figures["dice"]["value"] == pytest.approx((2.3 / 4 + 1.7 / 4) / 2)
    assert figures["dice"]["n"] == 4


def test_two_equal_seeds_have_the_interval_of_one(rows_of: Rows) -> None:
    table = from_rows(rows_of(Job("quick", "busi", "grouped-5fold", "senoscope-us", 1, 0), 1.5, every=2))
    one, two = measure([table]).figures, measure([table, table]).figures
    for name in ("accuracy", "auc_benign_malignant", "dice", "ece"):
        assert one[name] == pytest.approx(two[name]), name


def test_strata_are_the_cases_inside() -> None:
    strata = measure([table_of(*FIRST)]).strata
    benign = strata["class"]["benign"]
    assert benign["accuracy"]["value"] == pytest.approx(2 / 3)
    assert benign["dice"]["value"] == pytest.approx(0.6)
    assert "dice" not in strata["class"]["normal"]
    assert "device" not in strata, "no device is known"


def test_every_stratum_of_the_metrics_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scanner, BI-RADS, near-duplicates, and the text that the package knows of and the table does not say."""
    text = {"b1": True, "b2": False, "b3": False}
    monkeypatch.setattr("senoscope.evaluation.columns.has_text", lambda _, name: text.get(name))
    rows = [dict(row) for row in FIRST]
    for row, device, birads, group in zip(
        rows, "AABBBB", "  3454", [None, *"gg", None, None, None], strict=True
    ):
        row.update(device=device, birads=birads.strip() or None, group=group)
    strata = measure([table_of(*rows)]).strata
    found = {
        group: {member: part["accuracy"]["n"] for member, part in members.items()}
        for group, members in strata.items()
    }
    assert found["device"] == {"A": 2, "B": 4}
    assert found["BI-RADS"] == {"3": 1, "4": 2, "5": 1}
    assert found["near-duplicates"] == {"alone": 4, "has near-duplicates": 2}
    assert found["overlay text"] == {"with text": 1, "without text": 2}
    assert strata["overlay text"]["without text"]["accuracy"]["value"] == pytest.approx(
        1 / 2
    )  # b2 wrong, b3 right
    assert strata["overlay text"]["without text"]["dice"]["value"] == pytest.approx(0.5)
    assert strata["BI-RADS"]["4"]["dice"]["value"] == pytest.approx(0.55)  # b2 and m1


def test_against_scikit_learn(rows_of: Rows) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    table = from_rows(rows_of(Job("quick", "busi", "grouped-5fold", "senoscope-us", 1, 0), 1.0, every=2))
    figures = measure([table]).figures
    test = table.where(table.test)
    chosen = test.probabilities.argmax(1)
    assert figures["balanced_accuracy"]["value"] == pytest.approx(
        metrics.balanced_accuracy_score(test.label, chosen)
    )
    lesions = test.label > 0
    score = test.logits[lesions, 2] - test.logits[lesions, 1]
    area = metrics.roc_auc_score(test.label[lesions] == 2, score)
    assert figures["auc_benign_malignant"]["value"] == pytest.approx(area)


def test_calibration_error_uses_the_validation_rows_temperature(rows_of: Rows) -> None:
    table = from_rows(rows_of(Job("quick", "busi", "grouped-5fold", "senoscope-us", 1, 0), 0.7, every=2))
    valid, test = table.where(~table.test), table.where(table.test)

    def loss(t: float) -> float:
        return -float(log_softmax(valid.logits / t, axis=1)[np.arange(len(valid)), valid.label].mean())

    temperature = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9}).x
    shares = softmax(test.logits / temperature, axis=1)
    top, right = shares.max(1), shares.argmax(1) == test.label
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (top > low) & (top <= low + 1 / 15)
        error += abs(right[inside].sum() - top[inside].sum()) / len(top)
    assert measure([table]).figures["ece"]["value"] == pytest.approx(error, abs=2e-4)

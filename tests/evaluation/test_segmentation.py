"""Mask figures by hand, against scikit-learn on pixels, and by their conventions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from senoscope.evaluation.cases import case_row, from_rows
from senoscope.evaluation.metrics import point_estimates
from senoscope.evaluation.segmentation import lesion_share, size_strata
from senoscope.schema import Record


def bar(columns: int) -> np.ndarray:
    mask = np.zeros((10, 20), bool)
    mask[:, :columns] = True
    return mask


def row(number: int, label: str, truth: np.ndarray | None, predicted: np.ndarray | None) -> dict[str, object]:
    record = Record(id=str(number), dataset="made", image=Path("x"), modality="US", label=label)
    return case_row(record, truth, predicted, [0.0, 0.0, 0.0])


def test_by_hand() -> None:
    table = from_rows(
        [
            row(0, "benign", bar(4), bar(12)),  # 40 px against 120: Dice .5
            row(1, "malignant", bar(10), bar(10)),  # Dice 1
            row(2, "malignant", bar(2), bar(0)),  # missed: Dice 0
            row(3, "normal", bar(0), bar(0)),
            row(4, "normal", bar(0), bar(1)),  # false positive of 10 px
            row(5, "benign", None, bar(5)),  # truth unknown: counts nowhere
            row(6, "benign", bar(5), None),  # no prediction: counts nowhere
        ]
    )
    got = point_estimates(table)
    assert got["dice"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert got["iou"] == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert got["dice_pooled"] == pytest.approx(2 * (40 + 100) / (160 + 200 + 20))
    assert got["iou_pooled"] == pytest.approx(140 / (120 + 100 + 20))
    assert got["dice_pooled_with_normals"] == pytest.approx(280 / (160 + 200 + 20 + 10))
    assert got["dice_with_normals"] == pytest.approx((0.5 + 1 + 0 + 1 + 0) / 5)
    assert got["false_positive_rate"] == 0.5
    assert got["false_positive_area"] == pytest.approx(0.5 * 10 / 200)
    assert got["missed"] == pytest.approx(1 / 3)
    assert got["dice_malignant"] == 0.5
    # 12 columns against 4: the bars share their left, top and bottom edges, and the right edge is 8 px away.
    assert got["hd95"] == pytest.approx((table.hd95[0] + 0) / 2)
    assert got["hd95_missed_as_diagonal"] == pytest.approx((table.hd95[0] + 0 + np.hypot(10, 20)) / 3)
    assert got["nsd"] == pytest.approx((table.nsd[0] + 1 + 0) / 3)


def test_pooled_equals_scikit_learn_over_all_pixels() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    pairs = [(rng.random((30, 30)) < 0.3, rng.random((30, 30)) < 0.3) for _ in range(6)]
    got = point_estimates(from_rows([row(i, "benign", *pair) for i, pair in enumerate(pairs)]))
    truth, predicted = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
    assert got["dice_pooled"] == pytest.approx(sk.f1_score(truth, predicted))
    assert got["iou_pooled"] == pytest.approx(sk.jaccard_score(truth, predicted))
    assert got["dice"] == pytest.approx(np.mean([sk.f1_score(t.ravel(), p.ravel()) for t, p in pairs]))


def test_normals_without_masks_count_as_clean() -> None:
    table = from_rows(
        [row(0, "normal", None, bar(3)), row(1, "normal", None, bar(0)), row(2, "benign", None, bar(1))]
    )
    assert point_estimates(table)["false_positive_rate"] == 0.5


def test_perfect() -> None:
    got = point_estimates(from_rows([row(0, "benign", bar(4), bar(4)), row(1, "normal", bar(0), bar(0))]))
    ones = (
        "dice",
        "iou",
        "nsd",
        "dice_pooled",
        "iou_pooled",
        "dice_with_normals",
        "dice_pooled_with_normals",
    )
    assert {got[name] for name in ones} == {1.0}
    assert {got[name] for name in ("hd95", "missed", "false_positive_rate")} == {0.0}


def test_size_strata_part_the_lesions(simulate: Callable[..., list[dict[str, object]]]) -> None:
    table = from_rows(simulate(200, valid=False))
    strata = size_strata(table)
    assert list(strata) == ["under 2 %", "2–5 %", "5–10 %", "10 % and more"]
    assert (np.sum(list(strata.values()), axis=0) == table.lesion).all()
    share = lesion_share(table)
    assert share[strata["2–5 %"]].min() >= 0.02
    assert share[strata["2–5 %"]].max() < 0.05

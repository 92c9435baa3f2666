"""Comparisons: figures worked out apart, pairing of rows, what is refused, and the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from senoscope.errors import TableError, UsageError
from senoscope.evaluation.cases import from_rows
from senoscope.evaluation.compare import compare, compare_tables, write_comparison
from senoscope.evaluation.delong import compare_auc
from senoscope.evaluation.metrics import point_estimates
from senoscope.evaluation.paired import holm, mcnemar, permutation, wilcoxon

Rows = list[dict[str, Any]]
Simulate = Callable[..., Rows]
SPLIT = {"split": "made-5fold", "split_hash": "f" * 64}
NAMES = ("a.parquet", "b.parquet")


def second_system(rows: Rows, seed: int = 1) -> Rows:
    """The same cases answered by a system that is worse at classes and a little better at outlines."""
    rng = np.random.default_rng(seed)
    other = []
    for row in rows:
        logits = np.array([row[f"logit_{name}"] for name in ("normal", "benign", "malignant")])
        logits = 0.5 * logits + rng.normal(size=3)
        shares = np.exp(logits) / np.exp(logits).sum()
        cells = {
            f"logit_{n}": float(v) for n, v in zip(("normal", "benign", "malignant"), logits, strict=True)
        }
        cells |= {f"p_{n}": float(v) for n, v in zip(("normal", "benign", "malignant"), shares, strict=True)}
        if row.get("dice") is not None:
            common, total = row["intersection"], row["area_true"]
            cells |= {"area_pred": common, "dice": 2 * common / (total + common), "iou": common / total}
        other.append({**row, **cells})
    return other


@pytest.fixture(scope="module")
def sides(simulate: Simulate) -> tuple[Rows, Rows]:
    rows = simulate(200)
    return rows, second_system(rows)


@pytest.fixture(scope="module")
def found(sides: tuple[Rows, Rows]) -> dict[str, Any]:
    shuffled = [sides[1][index] for index in np.random.default_rng(0).permutation(len(sides[1]))]
    first, second = (
        from_rows(sides[0], {**SPLIT, "system": "A"}),
        from_rows(shuffled, {**SPLIT, "system": "B"}),
    )
    return compare_tables(first, second, NAMES, resamples=300)


def test_figures_are_the_tables_own(found: dict[str, Any], sides: tuple[Rows, Rows]) -> None:
    for side, rows in zip(("first", "second"), sides, strict=True):
        own = point_estimates(from_rows([row for row in rows if row["split"] == "test"]))
        for name in ("accuracy", "auc_benign_malignant", "dice"):
            assert found["figures"][name][side] == pytest.approx(own[name])
    for figure in found["figures"].values():
        assert figure["difference"] == pytest.approx(figure["first"] - figure["second"])
        assert figure["low"] < figure["difference"] < figure["high"]
    assert found["figures"]["accuracy"]["difference"] > 0.1
    assert found["figures"]["dice"]["difference"] < 0
    assert (found["cases"], found["clusters"]) == (200, 100)


def test_p_values_are_those_of_the_tests(found: dict[str, Any], sides: tuple[Rows, Rows]) -> None:
    one, two = (from_rows([row for row in rows if row["split"] == "test"]) for rows in sides)
    right = [table.probabilities.argmax(1) == table.label for table in (one, two)]
    lesion = one.label > 0
    odds = [(table.logits[:, 2] - table.logits[:, 1])[lesion] for table in (one, two)]
    expected = {
        "accuracy": [mcnemar(*right, mid_p=True).p, permutation(*right, one.cluster).p],
        "auc_benign_malignant": [compare_auc(one.label[lesion] == 2, *odds, one.cluster[lesion]).p],
        "dice": [
            f(one.dice[lesion], two.dice[lesion], one.cluster[lesion]).p for f in (wilcoxon, permutation)
        ],
    }
    for name, p_values in expected.items():
        assert [test["p"] for test in found["figures"][name]["tests"]] == pytest.approx(p_values)
    largest = [max(p_values) for p_values in expected.values()]
    assert [figure["p_holm"] for figure in found["figures"].values()] == pytest.approx(holm(largest))


def test_a_system_against_itself(sides: tuple[Rows, Rows]) -> None:
    table = from_rows(sides[0], SPLIT)
    for figure in compare_tables(table, table, NAMES, resamples=50)["figures"].values():
        assert (figure["difference"], figure["p"], figure["p_holm"]) == (0, 1, 1)


def test_clusters_of_one_side_hold_for_both(sides: tuple[Rows, Rows]) -> None:
    bare = [{**row, "patient": None, "dataset": None} for row in sides[1]]
    found = compare_tables(from_rows(sides[0], SPLIT), from_rows(bare), NAMES, resamples=20)
    assert found["clusters"] == 100
    assert "No split file" in found["second"]["stamps"][0]
    assert found["first"]["stamps"] == []
    assert compare_tables(from_rows(bare), from_rows(sides[0]), NAMES, resamples=20)["clusters"] == 100


def test_other_splits_are_refused_with_both_named(sides: tuple[Rows, Rows]) -> None:
    other = {"split": "random-5fold", "split_hash": "e" * 64}
    with pytest.raises(TableError, match=r"a\.parquet .*made-5fold \(ffff.*b\.parquet .*random-5fold \(eeee"):
        compare_tables(from_rows(sides[0], SPLIT), from_rows(sides[1], other), NAMES)


def test_missing_cases_are_listed_per_side(sides: tuple[Rows, Rows]) -> None:
    first = [row for row in sides[0] if row["id"] != "case 3"]
    second = [row for row in sides[1] if row["id"] not in ("case 5", "case 6")]
    with pytest.raises(
        TableError, match=r"a\.parquet lacks 1 case: case 3; b\.parquet lacks 2 cases: case 5, case 6"
    ):
        compare_tables(from_rows(first), from_rows(second), NAMES)


def test_other_truths_are_refused(sides: tuple[Rows, Rows]) -> None:
    row = next(
        index for index, row in enumerate(sides[1]) if row["label"] == "benign" and row["split"] == "test"
    )
    wrong = [{**r, "label": "malignant"} if i == row else r for i, r in enumerate(sides[1])]
    with pytest.raises(TableError, match=r"label of 1 case: .* \(benign, malignant\)"):
        compare_tables(from_rows(sides[0]), from_rows(wrong), NAMES)
    wider = {"area_true": 9999, "dice": None, "iou": None}
    wrong = [{**r, **wider} if i == row else r for i, r in enumerate(sides[1])]
    with pytest.raises(TableError, match="true lesion's area of 1 case"):
        compare_tables(from_rows(sides[0]), from_rows(wrong), NAMES)


def test_only_what_both_give_is_compared(sides: tuple[Rows, Rows]) -> None:
    classes = ("normal", "benign", "malignant")
    mute = dict.fromkeys(f"{kind}_{name}" for kind in ("p", "logit") for name in classes)
    masks_only = from_rows([row | mute for row in sides[1]])
    assert list(compare_tables(from_rows(sides[0]), masks_only, NAMES, resamples=20)["figures"]) == ["dice"]
    blind = dict.fromkeys(("area_true", "area_pred", "intersection", "dice", "iou", "hd95", "nsd"))
    classes_only = from_rows([row | blind | {"has_mask": False} for row in sides[0]])
    with pytest.raises(UsageError, match="share no figure"):
        compare_tables(classes_only, masks_only, NAMES)


def test_targets_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a table nor a run"):
        compare(tmp_path, tmp_path)


def test_json_and_page(found: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from senoscope.evaluation.compare_page import render_page

    write_comparison(found, tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text()) == found
    evil = "<script>alert(1)</script>"
    page = render_page({**found, "first": {**found["first"], "system": evil, "stamps": [evil]}})
    assert evil not in page
    assert page.count("&lt;script&gt;") >= 3
    assert "not a medical device" in page
    assert "default-src 'none'" in page
    assert page.count("<svg ") == 1
    assert f"{found['figures']['dice']['difference']:+.3f}" in page

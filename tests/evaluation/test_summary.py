"""Summaries: what is in them, frozen choices, folds, strata, stamps and notes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from senoscope.errors import TableError
from senoscope.evaluation.calibration import fit_temperature
from senoscope.evaluation.cases import from_rows
from senoscope.evaluation.metrics import point_estimates
from senoscope.evaluation.summary import summarise, write_summary

Rows = list[dict[str, Any]]
Simulate = Callable[..., Rows]
PROVENANCE = {"split": "made-5fold", "split_hash": "f" * 64, "system": "toy", "stamps": ["leak override"]}


@pytest.fixture(scope="module")
def rows(simulate: Simulate) -> Rows:
    return simulate(300)


@pytest.fixture(scope="module")
def summary(rows: Rows) -> dict[str, Any]:
    return summarise(from_rows(rows, PROVENANCE), resamples=200)


def leaves(part: Any) -> list[dict[str, Any]]:
    if not isinstance(part, dict):
        return []
    return (
        [part]
        if set(part) == {"value", "low", "high", "n"}
        else [x for v in part.values() for x in leaves(v)]
    )


def test_only_test_rows_count(rows: Rows, summary: dict[str, Any]) -> None:
    test = from_rows([row for row in rows if row["split"] == "test"])
    assert {name: leaf["value"] for name, leaf in summary["figures"].items()} == pytest.approx(
        point_estimates(test)
    )
    assert summary["cases"]["test"] == summary["cases"]["validation"] == 300
    assert summary["cases"]["clusters"] == 150
    assert summary["cases"]["labels"] == {
        name: sum(row["label"] == name for row in rows) // 2 for name in ("normal", "benign", "malignant")
    }


def test_every_leaf_has_four_keys_and_holds_its_value(summary: dict[str, Any]) -> None:
    found = leaves({key: summary[key] for key in ("figures", "calibrated", "operating_points", "strata")})
    assert len(found) > 80
    for leaf in found:
        assert leaf["n"] > 0
        if leaf["low"] is not None:
            assert leaf["low"] - 1e-12 <= leaf["value"] <= leaf["high"] + 1e-12


def test_folds(rows: Rows, summary: dict[str, Any]) -> None:
    tested = [row for row in rows if row["split"] == "test"]
    each = [point_estimates(from_rows([r for r in tested if r["fold"] == f]))["dice"] for f in range(5)]
    assert list(summary["folds"]["dice"]["values"].values()) == pytest.approx(each)
    assert summary["folds"]["dice"]["mean"] == pytest.approx(np.mean(each))
    assert summary["folds"]["dice"]["sd"] == pytest.approx(np.std(each, ddof=1))


def test_temperature_and_thresholds_come_from_validation_only(rows: Rows, summary: dict[str, Any]) -> None:
    valid = from_rows([row for row in rows if row["split"] == "valid" and row["fold"] == 3])
    assert summary["temperature"]["3"] == pytest.approx(fit_temperature(valid.logits, valid.label))
    # Ruining the test cases changes what is reached, and nothing of what was chosen.
    ruined = [
        row if row["split"] == "valid" else {**row, **{f"{k}_{a}": row[f"{k}_{b}"] for k in ("p", "logit")
        for a, b in (("benign", "malignant"), ("malignant", "benign"))}}
        for row in rows
    ]  # fmt: skip
    other = summarise(from_rows(ruined, PROVENANCE), resamples=10)
    assert other["temperature"] == summary["temperature"]
    for question, points in summary["operating_points"].items():
        for name, point in points.items():
            assert other["operating_points"][question][name]["thresholds"] == point["thresholds"]
    assert other["operating_points"]["benign_malignant"]["sensitivity_90"]["sensitivity"]["value"] < 0.6


def test_operating_point_by_hand(rows: Rows, summary: dict[str, Any]) -> None:
    point = summary["operating_points"]["malignant_rest"]["specificity_90"]
    called = []
    for row in rows:
        if row["split"] == "test" and row["label"] == "malignant":
            scaled = np.array([row[f"logit_{n}"] for n in ("normal", "benign", "malignant")])
            scaled /= summary["temperature"][str(row["fold"])]
            share = np.exp(scaled[2]) / np.exp(scaled).sum()
            called.append(share >= point["thresholds"][str(row["fold"])])
    assert point["sensitivity"]["value"] == pytest.approx(np.mean(called))
    assert point["sensitivity"]["n"] == len(called)


def test_strata(rows: Rows, summary: dict[str, Any]) -> None:
    # one dataset, one BI-RADS, no duplicate groups, overlay unknown: nothing to compare
    assert list(summary["strata"]) == ["class", "lesion size", "device"]
    benign = summary["strata"]["class"]["benign"]
    assert benign["accuracy"]["value"] == pytest.approx(summary["figures"]["sensitivity_benign"]["value"])
    assert benign["dice"]["value"] == pytest.approx(summary["figures"]["dice_benign"]["value"])
    part = from_rows([row for row in rows if row["split"] == "test" and row["device"] == "A"])
    assert summary["strata"]["device"]["A"]["accuracy"]["value"] == pytest.approx(
        point_estimates(part)["accuracy"]
    )


def test_strata_of_duplicates_and_overlay(simulate: Simulate) -> None:
    rows = simulate(40, valid=False)
    # groups of 3, 1 and 1 cases; the rest has none; text on every fourth image, unknown on the last ten
    groups = {0: "g0", 2: "g0", 4: "g0", 6: "g1", 8: "g2"}
    rows = [
        {**row, "group": groups.get(n), "overlay": None if n >= 30 else n % 4 == 0, "patient": None}
        for n, row in enumerate(rows)
    ]
    strata = summarise(from_rows(rows), resamples=10)["strata"]
    counts = {name: member["accuracy"]["n"] for name, member in strata["near-duplicates"].items()}
    assert counts == {"alone": 37, "has near-duplicates": 3}
    counts = {name: member["accuracy"]["n"] for name, member in strata["overlay text"].items()}
    assert counts == {"with text": 8, "without text": 22}


def test_decision_curve_is_calibrated_where_it_can_be(rows: Rows, summary: dict[str, Any]) -> None:
    found, test = (
        summary["decision"],
        [row for row in rows if row["split"] == "test" and row["label"] != "normal"],
    )
    assert (found["calibrated"], found["n"]) == (True, len(test))
    acted = []
    for row in test:
        odds = (row["logit_malignant"] - row["logit_benign"]) / summary["temperature"][str(row["fold"])]
        acted.append(1 / (1 + np.exp(-odds)) >= 0.3)
    true = sum(a and row["label"] == "malignant" for a, row in zip(acted, test, strict=True))
    expected = true / len(test) - (sum(acted) - true) / len(test) * 0.3 / 0.7
    assert found["model"][found["threshold"].index(0.3)] == pytest.approx(expected, abs=1e-6)
    plain = summarise(from_rows([row for row in rows if row["split"] == "test"]), resamples=10)["decision"]
    assert plain["calibrated"] is False


def test_stamps_and_provenance_are_carried(rows: Rows, summary: dict[str, Any]) -> None:
    assert summary["stamps"] == ["leak override"]
    assert summary["split"] == {"name": "made-5fold", "hash": "f" * 64}
    assert "medical device" in summary["research_use"]
    bare = summarise(from_rows(rows), resamples=10)
    assert [stamp for stamp in bare["stamps"] if "No split file" in stamp]


def test_crossings_are_found_in_the_rows(rows: Rows) -> None:
    torn = [{**row, "patient": "p0"} if row["patient"] == "p1" else row for row in rows]
    found = summarise(from_rows(torn, PROVENANCE), resamples=10)["stamps"]
    assert any("1 patients or duplicate groups are tested in more than one fold" in stamp for stamp in found)
    assert any("validation and the test cases of one fold" in stamp for stamp in found)


def test_without_validation_nothing_is_chosen(simulate: Simulate) -> None:
    summary = summarise(from_rows(simulate(100, valid=False), PROVENANCE), resamples=10)
    assert summary["temperature"] == summary["calibrated"] == summary["operating_points"] == {}
    assert any("No validation cases" in note for note in summary["notes"])


def test_a_bundles_frozen_choices_are_used(simulate: Simulate) -> None:
    frozen = {"temperature": 2.0, "operating_points": {"malignant": {"threshold_spec90": 0.45}}}
    summary = summarise(from_rows(simulate(100, valid=False), {**PROVENANCE, "frozen": frozen}), resamples=10)
    assert set(summary["temperature"].values()) == {2.0}
    assert list(summary["operating_points"]) == ["malignant_rest"]
    assert set(summary["operating_points"]["malignant_rest"]["specificity_90"]["thresholds"].values()) == {
        0.45
    }


def test_validation_rows_alone_are_refused(rows: Rows) -> None:
    with pytest.raises(TableError, match="validation rows only"):
        summarise(from_rows([row for row in rows if row["split"] == "valid"]))


@pytest.mark.parametrize("part", ["classes", "masks"])
def test_systems_that_do_one_thing_only(simulate: Simulate, part: str) -> None:
    rows = simulate(60, masks=part == "masks")
    if part == "masks":
        blank = dict.fromkeys(
            f"{kind}_{name}" for kind in ("p", "logit") for name in ("normal", "benign", "malignant")
        )
        rows = [row | blank for row in rows]
    figures = summarise(from_rows(rows, PROVENANCE), resamples=10)["figures"]
    assert ("dice" in figures) == (part == "masks")
    assert ("accuracy" in figures) == (part == "classes")


def test_one_case(simulate: Simulate) -> None:
    summary = summarise(from_rows(simulate(1, valid=False)), resamples=10)
    assert summary["figures"]["accuracy"]["n"] == 1
    assert summary["figures"]["accuracy"]["low"] is None


def test_json(summary: dict[str, Any], tmp_path: Path) -> None:
    write_summary(summary, tmp_path / "deep" / "s.json")
    assert json.loads((tmp_path / "deep" / "s.json").read_text()) == summary

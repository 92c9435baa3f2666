"""Marks and free-response figures: by hand, against plain loops, and through the table and the report."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from senoscope.errors import TableError
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.cases import case_row, from_rows, read_table, write_table
from senoscope.evaluation.froc import (
    Responses,
    afroc_area,
    afroc_curve,
    detection_estimators,
    froc_area,
    froc_curve,
    responses,
    sensitivity_at,
)
from senoscope.evaluation.marks import Mark, Marked, match
from senoscope.schema import Record

# Two images with lesions (2 and 1), two clean ones.
MARKS: list[list[Mark]] = [
    [(0.9, 0), (0.7, 0), (0.6, None)],  # lesion 0 hit twice, lesion 1 missed
    [(0.5, 0)],
    [(0.8, None), (0.4, None)],
    [],
]
LESIONS = [2, 1, 0, 0]


def test_froc_by_hand() -> None:
    curve = froc_curve(responses(MARKS, LESIONS))
    # thresholds 0.9 hit, 0.8 false, 0.6 false, 0.5 hit, 0.4 false; the second hit on lesion 0 counts as nothing
    assert curve.threshold.tolist() == [np.inf, 0.9, 0.8, 0.6, 0.5, 0.4]
    assert curve.sensitivity == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert curve.false_per_image == pytest.approx([0, 0, 0.25, 0.5, 0.5, 0.75])
    assert sensitivity_at(curve, 0.25) == pytest.approx(1 / 3)
    assert sensitivity_at(curve, 0.5) == sensitivity_at(curve, 9) == pytest.approx(2 / 3)
    assert froc_area(curve) == pytest.approx(0.5 * 1 / 3 + 0.5 * 2 / 3)
    assert froc_area(curve, 0.5) == pytest.approx(1 / 3)


def test_afroc_by_hand() -> None:
    found = responses(MARKS, LESIONS)
    # lesions .9, none, .5 against clean images .8, none: 1 1 | 0 ½ | 0 1
    assert afroc_area(found) == pytest.approx(3.5 / 6)
    curve = afroc_curve(found)
    assert curve.false_positive == pytest.approx([0, 0, 0.5, 0.5, 1])
    assert curve.true_positive == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert np.trapezoid(curve.true_positive, curve.false_positive) == pytest.approx(3.5 / 6)


def simulated(seed: int) -> tuple[list[list[Mark]], list[int]]:
    rng = np.random.default_rng(seed)
    lesions = rng.integers(0, 3, 40).tolist()
    marks: list[list[Mark]] = []
    for count in lesions:
        hits: list[Mark] = [
            (round(rng.random() + 0.3, 1), int(rng.integers(count))) for _ in range(2) if count
        ]
        false: list[Mark] = [(round(rng.random(), 1), None) for _ in range(rng.integers(0, 3))]
        marks.append(hits + false)
    return marks, lesions


def slow_point(
    marks: list[list[Mark]], lesions: list[int], threshold: float, times: np.ndarray
) -> tuple[float, float]:
    found = sum(
        t * len({hit for s, hit in given if s >= threshold and hit is not None})
        for given, t in zip(marks, times, strict=True)
    )
    false = sum(
        t * sum(s >= threshold and hit is None for s, hit in given)
        for given, t in zip(marks, times, strict=True)
    )
    return false / times.sum(), found / np.dot(times, lesions)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_plain_loops_under_weights(seed: int) -> None:
    marks, lesions = simulated(seed)
    weights = np.random.default_rng(100 + seed).integers(0, 3, size=(4, 40)).astype(float)
    found = responses(marks, lesions)
    curve = froc_curve(found, weights)
    for row, times in enumerate(weights):
        for point, threshold in enumerate(curve.threshold):
            expected = slow_point(marks, lesions, threshold, times)
            assert (curve.false_per_image[row, point], curve.sensitivity[row, point]) == pytest.approx(
                expected
            )
    grid = (np.arange(4000) + 0.5) / 4000
    means = np.mean([sensitivity_at(curve, x) for x in grid], axis=0)
    assert froc_area(curve) == pytest.approx(means, abs=1e-3)
    best = [
        [max([s for s, h in g if h == n], default=-np.inf) for n in range(c)]
        for g, c in zip(marks, lesions, strict=True)
    ]
    false = [max([s for s, h in g if h is None], default=-np.inf) for g in marks]
    for times, area in zip(weights, afroc_area(found, weights), strict=True):
        won = total = 0.0
        for i, scores in enumerate(best):
            for j in np.flatnonzero(np.array(lesions) == 0):
                for score in scores:
                    won += times[i] * times[j] * ((score > false[j]) + 0.5 * (score == false[j]))
                    total += times[i] * times[j]
        assert area == pytest.approx(won / total)


def test_undefined_without_lesions_or_clean_images() -> None:
    assert np.isnan(froc_curve(responses([[], []], [0, 0])).sensitivity).all()
    assert np.isnan(afroc_area(responses([[(0.5, 0)]], [1])))
    none = froc_curve(responses([[], []], [1, 0]))
    assert (froc_area(none), sensitivity_at(none, 1)) == (0, 0)


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_hits_by_hand() -> None:
    truth = box(0, 0, 10, 10) | box(30, 30, 10, 10) | box(50, 70, 1, 2)  # two lesions and a speck
    good = Marked(box(0, 0, 10, 10), 0.9)
    low = Marked(box(30, 30, 2, 10), 0.8)  # IoU exactly 0.2 is no hit
    just = Marked(box(30, 30, 3, 10), 0.7)  # 30 / 100
    both = Marked(box(0, 0, 40, 40), 0.6)  # 100 / 1600 with each
    speck = Marked(box(50, 70, 1, 2), 0.5)
    assert match(truth, [good, low, just, both, speck]) == (
        2, [(0.9, 0), (0.8, None), (0.7, 1), (0.6, None), (0.5, None)],
    )  # fmt: skip
    assert match(box(0, 0, 1, 2), [Marked(box(0, 0, 1, 2), 1.0)]) == (
        1,
        [(1.0, 0)],
    )  # small, but the only one
    assert match(box(0, 0, 0, 0), [good]) == (0, [(0.9, None)])


def record(name: str, label: str) -> Record:
    return Record(id=name, dataset="made", image=Path("x"), modality="US", label=label)


def rows() -> list[dict[str, Any]]:
    """One lesion found with certainty ¾ of P(lesion) 0.8, one clean image with a false mark, one row without marks."""
    lesion, logits = box(0, 0, 10, 10), np.log([0.2, 0.3, 0.5])
    return [
        case_row(record("a", "malignant"), lesion, lesion, logits, regions=[Marked(lesion, 0.75)]),
        case_row(record("b", "normal"), box(0, 0, 0, 0), lesion, None, regions=[Marked(lesion, 0.9)]),
        case_row(record("c", "benign"), lesion, lesion, logits),
        case_row(record("d", "benign"), None, lesion, logits, regions=[Marked(lesion, 0.9)]),
    ]


def test_cells_of_a_row() -> None:
    found = rows()
    assert (found[0]["lesions"], json.loads(found[0]["marks"])) == (1, [[0.6, 0]])
    assert (found[1]["lesions"], json.loads(found[1]["marks"])) == (0, [[0.9, None]])
    assert (found[2]["lesions"], found[2]["marks"]) == (1, None)
    assert (found[3]["lesions"], found[3]["marks"]) == (None, None)


def test_figures_of_a_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs the [train] extra")
    write_table(rows(), tmp_path / "t.parquet", {})
    table = read_table(tmp_path / "t.parquet")
    found = bootstrap(detection_estimators(table), table.cluster, resamples=50)
    assert {name: (figure["value"], figure["n"]) for name, figure in found.items()} == {
        "froc_area": (0.5, 2),  # the lesion is found only after the false mark at ½ per image
        "lesion_sensitivity_fp025": (0, 2),
        "lesion_sensitivity_fp1": (1, 2),
        "afroc_area": (0, 2),
    }
    old = [{key: value for key, value in row.items() if key not in ("lesions", "marks")} for row in rows()]
    assert detection_estimators(from_rows(old)) == {}


@pytest.mark.parametrize(
    "marks", ["0.5", "[[0.5]]", '[["a", 0]]', "[[NaN, 0]]", "[[0.5, 1]]", "[[0.5, -1]]", "[[0.5, 0.5]]", "x"]
)
def test_bad_marks_are_refused(marks: str) -> None:
    table = rows()
    table[2]["marks"] = marks
    with pytest.raises(TableError, match=r"marks that are no list of marks in row 3 \(c\)"):
        from_rows(table)


def test_report_shows_the_curve() -> None:
    pytest.importorskip("matplotlib")
    from senoscope.evaluation.report import render
    from senoscope.evaluation.summary import summarise

    table = from_rows(rows())
    page = render(summarise(table, resamples=10), table)
    assert "FROC, lesions" in page
    assert "Finding lesions" in page


def test_many_images_are_quick() -> None:
    marks, lesions = simulated(0)
    found: Responses = responses(marks * 25, lesions * 25)
    weights = np.ones((200, 1000))
    start = time.process_time()
    areas = froc_area(froc_curve(found, weights))
    assert time.process_time() - start < 1
    assert areas == pytest.approx(np.full(200, froc_area(froc_curve(found))))


def test_regions_of_a_run() -> None:
    pytest.importorskip("torch", reason="needs the [train] extra")
    from senoscope.evaluation.runs import predicted_mask, scored_regions
    from senoscope.schema import Box, Sample
    from senoscope.training.predict import RawPrediction

    sample = Sample(record=record("a", "benign"), image=np.zeros((60, 80), np.float32), mask=None, label=None)
    lesion_map = np.where(box(5, 5, 20, 20), 0.9, np.where(box(30, 40, 20, 20), 0.7, 0.1)).astype(np.float32)
    found = RawPrediction(sample, None, lesion_map)
    regions = scored_regions(found)
    assert regions is not None
    assert [round(region.score, 3) for region in regions] == [0.9, 0.7]
    assert (predicted_mask(found) == (lesion_map >= 0.5)).all()
    boxed = scored_regions(RawPrediction(sample, None, None, Box(5, 5, 20, 20)))
    assert boxed is not None
    assert boxed[0].score == 1
    assert (boxed[0].mask == box(5, 5, 20, 20)).all()
    assert scored_regions(RawPrediction(sample, None, None)) is None
    assert predicted_mask(RawPrediction(sample, None, None)) is None

"""The leak laboratory's arithmetic: steps in order, and thresholds chosen on the very cases they are judged on."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from senoscope.benchmark.jobs import Job
from senoscope.benchmark.leak_lab import STEPS, THRESHOLD, leak_steps, tuned_on_test
from senoscope.benchmark.results import Result
from senoscope.errors import TableError
from senoscope.evaluation.cases import case_row, from_rows
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES, Record


def table(logits: list[list[float]], labels: list[int], prefix: str = "a") -> PredictionTable:
    rows = []
    for number, (values, label) in enumerate(zip(logits, labels, strict=True)):
        record = Record(
            id=f"{prefix}{number}", dataset="busi", image="x.png", modality="US", label=CLASSES[label]
        )
        rows.append(case_row(record, None, None, values))
    return from_rows(rows, {"split_hash": "f" * 64, "system": "cnn3"})


def result(protocol: str, found: PredictionTable, dataset: str = "busi") -> Result:
    return Result(Job("quick", dataset, protocol, "cnn3", 1, 0), found, {})


def test_steps_stand_in_order_and_count_what_is_right() -> None:
    honest = table([[2, 1, 0], [0, 1, 2], [0, 2, 1], [2, 0, 1]], [0, 1, 1, 0])  # 3 of 4
    leaky = table([[2, 1, 0], [0, 2, 1]], [0, 1], "b")  # 2 of 2
    seen = table([[2, 1, 0], [2, 0, 1]], [0, 1], "c")  # 1 of 2
    results = [
        result("as-published", seen),
        result("leaky-random-split", leaky),
        result("grouped-5fold", honest),
    ]
    steps = leak_steps(results)["cnn3"]
    assert [step["protocol"] for step in steps] == ["grouped-5fold", "leaky-random-split", "", "as-published"]
    assert [step["accuracy"]["value"] for step in steps] == [0.75, 1.0, 1.0, 0.5]
    assert [step["accuracy"]["n"] for step in steps] == [4, 2, 2, 2]
    assert steps[0]["step"] == STEPS["grouped-5fold"]
    assert steps[2]["step"] == THRESHOLD.replace("\n", " ")


def test_thresholds_reach_what_an_exhaustive_search_reaches() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 30)
    logits = generator.normal(size=(30, 3)) + 1.2 * np.eye(3)[labels] + np.array([0.0, 2.0, -1.0])
    found = table(logits.tolist(), labels.tolist())
    own = (logits.argmax(axis=1) == labels).mean()
    grid = np.linspace(-5, 5, 101)
    best = max((np.add(logits, [0.0, a, b]).argmax(axis=1) == labels).mean() for a, b in product(grid, grid))
    reached = (tuned_on_test(found).argmax(axis=1) == labels).mean()
    assert own + 0.1 < reached <= best + 1e-9
    assert reached >= best - 1 / 30  # one case: the search goes class by class


def test_datasets_are_not_mixed() -> None:
    one = table([[1, 0, 0]], [0])
    with pytest.raises(TableError, match="bus-bra, busi"):
        leak_steps([result("grouped-5fold", one), result("grouped-5fold", one, "bus-bra")])

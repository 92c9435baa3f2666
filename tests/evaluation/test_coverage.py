"""The coverage study in small: its closed-form truths hold, and the intervals hold the truths."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from senoscope.evaluation.ranking import auc

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/coverage.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coverage_benchmark"] = module
    spec.loader.exec_module(module)
    return module


def test_truths_are_what_large_samples_show(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "CLUSTERS", 100_000)
    made, expected = study.simulate(np.random.default_rng(0)), study.truths()
    assert made.right[0].mean() == pytest.approx(expected["accuracy"], abs=0.004)
    assert made.dice[0].mean() == pytest.approx(expected["dice"], abs=0.004)
    areas = [float(auc(made.positive, score)) for score in made.score]
    assert areas[0] == pytest.approx(expected["auc"], abs=0.004)
    assert areas[0] - areas[1] == pytest.approx(expected["auc_difference"], abs=0.004)


def test_intervals_hold_the_truth(study: ModuleType) -> None:
    found = study.coverage(60, resamples=400, seed=1)
    for name, row in found.items():
        assert row["n"] == 60
        assert row["value"] >= 0.86, name  # 0.95 less three standard errors
    assert np.mean([row["value"] for row in found.values()]) < 0.995  # not by being endless
    assert 0.05 < found["auc"]["mean_width"] < 0.12

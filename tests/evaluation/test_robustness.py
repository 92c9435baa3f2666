"""Corruption errors against numbers worked by hand; a measurement that goes on, and one that is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from senoscope.errors import LeakageError, TableError, UsageError
from senoscope.evaluation import corruptions
from senoscope.evaluation.cases import from_rows, read_table
from senoscope.evaluation.conditions import CLEAN, Condition, plan
from senoscope.evaluation.robustness import robustness
from senoscope.evaluation.robustness_figures import align, summarise
from senoscope.evaluation.robustness_report import render
from senoscope.evaluation.table import PredictionTable
from senoscope.evaluation.targets import open_target
from senoscope.imaging.read import read_sample
from senoscope.inference.analyzer import Analyzer

pytest.importorskip("pyarrow", reason="needs the [train] extra")
pytest.importorskip("matplotlib", reason="needs the [train] extra")


def table(right: list[bool], dices: list[float], ids: list[str] | None = None) -> PredictionTable:
    """Cases that are benign, malignant, benign, ...; ``right`` says whether each is called so."""
    rows: list[dict[str, Any]] = []
    for number, (hit, dice) in enumerate(zip(right, dices, strict=True)):
        malignant = number % 2
        called = malignant if hit else 1 - malignant
        rows.append(
            {"id": ids[number] if ids else str(number), "dataset": "made", "label": ("benign", "malignant")[malignant],
             "p_normal": 0.0, "p_benign": 0.9 - 0.8 * called, "p_malignant": 0.1 + 0.8 * called,
             "has_mask": True, "area_true": 1000, "area_pred": 1000, "intersection": round(1000 * dice),
             "dice": dice, "iou": dice / (2 - dice), "width": 50, "height": 50}
        )  # fmt: skip
    return from_rows(rows)


@pytest.fixture(scope="module")
def tables() -> dict[Condition, PredictionTable]:
    """Ten cases: balanced error 0.1 clean; 0.2 and 0.4 blurred; 0.2 with another gain; Dice 0.8; 0.7, 0.5; 0.8."""

    def wrong(count: int) -> list[bool]:
        return [number >= count for number in range(10)]

    return {
        CLEAN: table(wrong(1), [0.8] * 10),
        Condition("blur", 1): table(wrong(2), [0.7] * 10),
        Condition("blur", 5): table(wrong(4), [0.5] * 10),
        Condition("gain", 3): table(wrong(2), [0.8] * 10),
        Condition("fgsm", 1, attack=True): table(wrong(9), [0.1] * 10),
    }


def test_corruption_errors_by_hand(tables: dict[Condition, PredictionTable]) -> None:
    found = summarise(tables, resamples=200)["errors"]
    balanced, dice = found["balanced_accuracy"], found["dice"]
    assert balanced["clean"] == pytest.approx(0.1)
    # blur: (0.2 + 0.4) / 2 = 0.3, so 0.2 more and 3 times as much; gain: 0.2; their mean: 0.25
    assert balanced["corruptions"]["blur"]["increase"]["value"] == pytest.approx(0.2)
    assert balanced["corruptions"]["blur"]["ratio"]["value"] == pytest.approx(3)
    assert balanced["corruptions"]["gain"]["increase"]["value"] == pytest.approx(0.1)
    assert balanced["corruptions"]["gain"]["ratio"]["value"] == pytest.approx(2)
    assert balanced["mean"]["increase"]["value"] == pytest.approx(0.15)
    assert balanced["mean"]["ratio"]["value"] == pytest.approx(2.5)
    # Dice: clean error 0.2; blur (0.3 + 0.5) / 2 = 0.4; gain 0.2. The same in every case: no resample differs.
    assert dice["clean"] == pytest.approx(0.2)
    assert dice["corruptions"]["blur"]["ratio"]["value"] == pytest.approx(2)
    assert [dice["mean"]["increase"][key] for key in ("value", "low", "high")] == pytest.approx([0.1] * 3)
    assert set(found["dice"]["corruptions"]) == {"blur", "gain"}, "an attack is no corruption"


def test_an_increase_is_paired(tables: dict[Condition, PredictionTable]) -> None:
    """Clean Dice varies from case to case and blurred Dice is 0.1 less everywhere: the increase is 0.1, surely."""
    dices = np.arange(0.3, 0.8, 0.05)
    made = {
        CLEAN: table([True] * 10, dices.tolist()),
        Condition("blur", 1): table([True] * 10, (dices - 0.1).tolist()),
    }
    summary = summarise(made, resamples=200)
    increase = summary["errors"]["dice"]["mean"]["increase"]
    assert [increase[key] for key in ("value", "low", "high")] == pytest.approx([0.1] * 3)
    clean = summary["clean"]["dice"]
    assert clean["high"] - clean["low"] > 0.1
    # No clean error of the class: there is nothing to divide by.
    assert summary["errors"]["balanced_accuracy"]["mean"]["ratio"]["value"] is None


def test_only_shared_cases_are_compared() -> None:
    made = {
        CLEAN: table([False, True, True, True], [0.5] * 4, ["a", "b", "c", "d"]),
        Condition("blur", 1): table([True, True, True], [0.4, 0.3, 0.2], ["d", "c", "b"]),
    }
    shared = align(made)
    assert shared[CLEAN].id.tolist() == shared[Condition("blur", 1)].id.tolist() == ["b", "c", "d"]
    assert shared[Condition("blur", 1)].dice.tolist() == [0.2, 0.3, 0.4]
    summary = summarise(made, resamples=50)
    assert summary["cases"] == {"test": 4, "compared": 3, "clusters": 4}
    assert summary["errors"]["dice"]["mean"]["increase"]["value"] == pytest.approx(0.2)


def test_the_plan() -> None:
    assert [c.key for c in plan(["flip", "jpeg"], [5, 3, 3])] == ["clean", "flip-1", "jpeg-3", "jpeg-5"]
    assert len(plan([], [1, 3, 5])) == 1 + 13 * 3 + 1
    for wrong in ([], [0], [6]):
        with pytest.raises(UsageError, match="1 to 5"):
            plan([], wrong)
    with pytest.raises(UsageError, match="there is no corruption"):
        plan(["nonsense"], [1])


def test_the_page(tables: dict[Condition, PredictionTable]) -> None:
    summary = json.loads(json.dumps(summarise(tables, resamples=50), allow_nan=False))
    summary["system"] = "<b>toy</b>"
    page = render(summary)
    assert "<b>toy</b>" not in page
    assert page.count("<svg") == 3
    assert "For research use only" in page
    assert "0.100 → 0.250" in page
    assert not re.search(r"""(src|href|url)\W{1,2}http""", page.replace("http://www.w3.org", "")), (
        "works offline"
    )


@pytest.fixture(scope="module")
def exams(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six exams in the folder layout (labels, no masks)."""
    root = tmp_path_factory.mktemp("exams")
    for number in range(6):
        label, depth = (("benign", 0.3), ("malignant", 0.02))[number % 2]
        (root / label).mkdir(exist_ok=True)
        image = fake.draw_exam((120, 110 + 10 * number, 40, depth), size=(240, 300), seed=number)
        Image.fromarray((255 * image).astype(np.uint8)).save(root / label / f"{number}.png")
    return root


def test_a_bundle_is_measured_and_goes_on(
    fake_folder: Path, exams: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"data": "folder", "root": exams, "out": tmp_path, "severities": [2]}
    steps: list[tuple[int, int]] = []
    result = robustness(
        fake_folder, names=["gain", "crop"], progress=lambda *step: steps.append(step), **options
    )
    assert steps[-1] == (18, 18)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "robustness.html",
        "robustness.json",
        "tables",
    ]
    assert result.summary == json.loads((tmp_path / "robustness.json").read_text())
    assert set(result.summary["corruptions"]) == {"gain", "crop"}
    assert result.failures == []

    # The kept table holds the analyzer's own answer to the corrupted image.
    kept = read_table(tmp_path / "tables" / "gain-2.parquet")
    target = open_target(fake_folder, "folder", exams)
    record = target.records[3]
    image, _ = corruptions.corrupt("gain", 2, read_sample(record).image, None, seed=0, case=record.id)
    expected = Analyzer(fake_folder).predict(image).probabilities
    np.testing.assert_allclose(kept.probabilities[kept.id.tolist().index(record.id)], expected, atol=1e-6)

    # One condition is gone, as after a kill: only it is measured again, with the same figures.
    (tmp_path / "tables" / "crop-2.parquet").unlink()
    read: list[str] = []
    original = read_sample

    def counted(record: Any) -> Any:
        read.append(record.id)
        return original(record)

    monkeypatch.setattr("senoscope.evaluation.conditions.read_sample", counted)
    assert robustness(fake_folder, names=["gain", "crop"], **options).summary == result.summary
    assert len(read) == 6

    with pytest.raises(UsageError, match="holds another measurement"):
        robustness(fake_folder, names=["gain"], seed=1, **options)
    with pytest.raises(UsageError, match="holds another measurement"):
        robustness(fake_folder, names=["gain"], limit=3, **options)


def test_a_limit_draws_cases_and_says_so(fake_folder: Path, exams: Path, tmp_path: Path) -> None:
    result = robustness(
        fake_folder, data="folder", root=exams, names=["flip"], limit=4, out=tmp_path, allow_in_sample=True
    )
    assert result.summary["cases"]["test"] == 4
    assert "4 of 6 cases, drawn at random." in result.summary["stamps"]
    with pytest.raises(UsageError, match="a limit of 0"):
        robustness(fake_folder, data="folder", root=exams, limit=0, out=tmp_path)


def test_what_cannot_be_analysed_is_counted(fake_folder: Path, exams: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((240, 300), 90, np.uint8)).save(exams / "benign" / "flat.png")
    try:
        result = robustness(fake_folder, data="folder", root=exams, names=["flip"], out=tmp_path)
        assert [case.split()[0] for case, _ in result.failures] == ["clean", "flip-1"]
        assert result.summary["cases"]["test"] == 6
        assert "clean 1, flip-1 1" in result.summary["stamps"][-1]
    finally:
        (exams / "benign" / "flat.png").unlink()


def test_training_data_is_refused_or_stamped(fake: ModuleType, exams: Path, tmp_path: Path) -> None:
    source = {
        "name": "folder",
        "n": 6,
        "split": "all",
        "split_hash": "",
        "licence": "CC0",
        "citation": "none",
    }
    bundle = fake.write_bundle(tmp_path / "seen", data=(source,))
    with pytest.raises(LeakageError, match="was trained on folder"):
        robustness(bundle, data="folder", root=exams, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    target = open_target(bundle, "folder", exams, allow_in_sample=True)
    assert target.stamps[0].startswith("In-sample")
    with pytest.raises(UsageError, match="is measured on a dataset"):
        open_target(bundle)
    with pytest.raises(UsageError, match="no frozen split"):
        open_target(bundle, "folder", exams, fold=1, allow_in_sample=True)


def test_no_case_at_all_leaves_no_table(fake_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "flat"
    (root / "benign").mkdir(parents=True)
    Image.fromarray(np.full((240, 300), 90, np.uint8)).save(root / "benign" / "flat.png")
    with pytest.raises(TableError, match=r"none of 1 cases could be analysed \(clean\)"):
        robustness(fake_folder, data="folder", root=root, out=tmp_path / "out")
    assert not (tmp_path / "out" / "tables").exists()

"""A bundle on a dataset: rows equal the analyzer's own answers, bad cases are listed, training data is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from senoscope.errors import LeakageError, TableError
from senoscope.evaluation.cases import from_rows
from senoscope.evaluation.maskfiles import load_mask
from senoscope.evaluation.predict import predict_dataset
from senoscope.evaluation.summary import summarise
from senoscope.imaging.read import read_sample
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.bundle import Bundle, load_bundle
from senoscope.schema import Record


@pytest.fixture(scope="module")
def bundle(fake_folder: Path) -> Bundle:
    return load_bundle(fake_folder)


@pytest.fixture(scope="module")
def records(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Three exams whose masks are the drawn discs: benign-looking, very dark, and empty."""
    root = tmp_path_factory.mktemp("exams")
    made = []
    for name, label, lesion in (
        ("grey", "benign", 0.3),
        ("black", "malignant", 0.02),
        ("clean", "normal", None),
    ):
        discs = [] if lesion is None else [(120, 140, 40, lesion)]
        image = fake.draw_exam(*discs, size=(240, 300))
        rows, columns = np.mgrid[:240, :300]
        mask = (rows - 120) ** 2 + (columns - 140) ** 2 <= 40**2 if discs else np.zeros((240, 300), bool)
        Image.fromarray((255 * image).astype(np.uint8)).save(root / f"{name}.png")
        Image.fromarray((255 * mask).astype(np.uint8)).save(root / f"{name}_mask.png")
        made.append(Record(id=name, dataset="drawn", image=root / f"{name}.png", masks=(root / f"{name}_mask.png",),
                           modality="US", label=label))  # fmt: skip
    return made


def test_rows_are_the_analyzers_answers(bundle: Bundle, records: list[Record], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = predict_dataset(bundle, records, lambda done, total: seen.append((done, total)), masks=tmp_path)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.failures == []
    table = from_rows(found.rows, found.metadata)
    assert table.id.tolist() == ["grey", "black", "clean"]
    analyzer = Analyzer(bundle)
    for row, record in enumerate(records):
        expected = analyzer.predict(read_sample(record).image).probabilities
        logits = table.logits[row] / bundle.card.calibration.temperature
        np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), expected, atol=1e-6)
    assert table.dice[:2].min() > 0.9
    assert np.isnan(table.dice[2])
    assert table.area_true[2] == 0
    mask = load_mask(tmp_path, "drawn", "black", (240, 300))
    assert mask is not None
    assert mask.sum() == table.area_pred[1]


def test_marks_are_the_outlined_regions(bundle: Bundle, records: list[Record]) -> None:
    found = predict_dataset(bundle, records)
    table = from_rows(found.rows, found.metadata)
    assert table.lesions.tolist() == [1, 1, 0]
    analyzer = Analyzer(bundle)
    for row, record in enumerate(records[:2]):
        lesion_map = analyzer.predict(read_sample(record).image).lesion_map
        labels, _ = ndimage.label(lesion_map >= bundle.card.mask_threshold)
        expected = lesion_map[labels == labels[120, 140]].mean() * (1 - table.probabilities[row, 0])
        hits = [score for score, hit in json.loads(table.marks[row]) if hit == 0]
        assert hits == [pytest.approx(expected, abs=0.01)]  # its holes are filled, the component's are not
    clean = json.loads(table.marks[2])
    assert clean  # the toy takes dark speckle for lesions
    assert all(hit is None for _, hit in clean)


def test_the_cards_frozen_choices_go_with_it(bundle: Bundle, records: list[Record]) -> None:
    found = predict_dataset(bundle, records)
    summary = summarise(from_rows(found.rows, found.metadata), resamples=10)
    assert summary["system"] == "fake-us 0.0.1"
    assert set(summary["temperature"].values()) == {1.5}
    points = summary["operating_points"]["malignant_rest"]
    assert points["sensitivity_90"]["thresholds"] == {"0": 0.3}
    assert summary["split"]["name"] == "all of drawn"
    assert len(summary["split"]["hash"]) == 64
    assert summary["stamps"] == []


def test_training_data_is_refused_or_stamped(bundle: Bundle, records: list[Record]) -> None:
    toys = [
        Record(id=r.id, dataset="toys", image=r.image, masks=r.masks, modality="US", label=r.label)
        for r in records
    ]
    with pytest.raises(LeakageError, match=r"fake-us 0\.0\.1 was trained on toys"):
        predict_dataset(bundle, toys)
    found = predict_dataset(bundle, toys, allow_in_sample=True)
    assert "In-sample" in found.metadata["stamps"][0]
    assert (
        summarise(from_rows(found.rows, found.metadata), resamples=10)["stamps"] == found.metadata["stamps"]
    )


def test_bad_cases_are_listed_and_the_rest_is_done(
    bundle: Bundle, records: list[Record], tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"not an image")
    Image.fromarray(np.full((240, 300), 90, np.uint8)).save(tmp_path / "flat.png")
    bad = [
        Record(id=name, dataset="drawn", image=tmp_path / f"{name}.png", modality="US")
        for name in ("bad", "flat")
    ]
    found = predict_dataset(bundle, [*bad, *records])
    assert [row["id"] for row in found.rows] == ["grey", "black", "clean"]
    assert [case for case, _ in found.failures] == ["bad", "flat"]
    assert "2 of 5 cases could not be analysed" in found.metadata["stamps"][0]
    with pytest.raises(TableError, match="none of 2 cases could be analysed: bad: "):
        predict_dataset(bundle, bad)


@pytest.mark.parametrize("kind", ["classifier", "segmenter", "detector"])
def test_what_a_bundle_does_not_give_stays_empty_in_its_table(
    fake: ModuleType, records: list[Record], tmp_path: Path, kind: str
) -> None:
    found = predict_dataset(load_bundle(fake.write_kind(tmp_path / "kind", kind)), records, masks=tmp_path)
    table = from_rows(found.rows, found.metadata)
    assert np.isnan(table.probabilities).all() == (kind != "classifier")
    assert np.isnan(table.area_pred).all() == (kind == "classifier")
    assert (load_mask(tmp_path, "drawn", "grey", (240, 300)) is None) == (kind == "classifier")
    figures = summarise(table, resamples=20)["figures"]
    assert ("accuracy" in figures) == (kind == "classifier")
    assert ("dice" in figures) == (kind != "classifier")
    if (
        kind == "detector"
    ):  # the toy takes the black bars beside the image for lesions: its box is the whole image
        assert table.dice[1] == pytest.approx(2 * table.area_true[1] / (table.area_true[1] + 240 * 300))
        assert any("boxes' rectangles" in note for note in found.metadata["notes"])

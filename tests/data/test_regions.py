"""Crops around findings: where they lie, what their masks hold, whose they are; tables and splits read them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from senoscope import data
from senoscope.cli.main import main
from senoscope.data import fake
from senoscope.data._windows import around, ellipse, findings, in_tissue, tissue
from senoscope.data.datasets import table
from senoscope.data.regions import Cropped, Rules, crop_dataset, crop_records
from senoscope.data.splits import check_leaks, load_split, make_split
from senoscope.errors import DatasetError, UsageError
from senoscope.imaging.masks import contour_area, contour_to_mask, mask_to_box
from senoscope.imaging.read import read_mask, read_sample
from senoscope.schema import Box, Record
from senoscope.training.data import collect
from senoscope.training.recipe import make_recipe


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake.make("mini-mias", tmp_path_factory.mktemp("films"), 12, seed=3)


@pytest.fixture(scope="module")
def cropped(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Cropped:
    return crop_dataset("mini-mias", films, tmp_path_factory.mktemp("crops") / "out")


# Contours and windows


@pytest.mark.parametrize("box", [Box(10, 20, 40, 40), Box(3.5, 7.25, 60, 30)])
def test_an_ellipse_fills_its_box_and_has_its_area(box: Box) -> None:
    area = np.pi * box.width * box.height / 4
    assert contour_area(ellipse(box)) == pytest.approx(area, rel=1e-4)
    mask = contour_to_mask(ellipse(box), (100, 100))
    assert mask.sum() == pytest.approx(area, rel=0.01)
    assert mask_to_box(mask) == pytest.approx(box, abs=1)


def test_a_circle_is_symmetric_to_the_pixel() -> None:
    mask = contour_to_mask(ellipse(Box(8, 8, 21, 21)), (37, 37))
    assert np.array_equal(mask, mask.T)
    rows, columns = np.nonzero(mask)
    assert (rows.mean(), columns.mean()) == pytest.approx((18, 18), abs=1e-6)  # the box's middle pixel


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_a_window_holds_its_finding_and_leaves_the_margin(jitter: float) -> None:
    mask = np.zeros((300, 400), np.bool_)
    mask[120:150, 200:260] = True
    places = set()
    for seed in range(20):
        window = around(mask, 0.5, jitter, np.random.default_rng(seed))
        assert (window.width, window.height) == (120, 120)
        free = (200 - window.left, window.left + 120 - 260, 135 - 60 - window.top)
        assert min(free[:2]) >= 30 * (1 - jitter) - 1
        assert abs(free[2]) <= 30 * jitter + 1
        assert window.cut_mask(mask).sum() == mask.sum()
        places.add((window.left, window.top))
    assert (len(places) > 10) == (jitter > 0)


def test_a_window_stays_inside_the_image() -> None:
    mask = np.zeros((100, 60), np.bool_)
    mask[:50, 10:50] = True
    window = around(mask, 1.0, 1.0, np.random.default_rng(0))
    assert (window.left, window.top, window.width, window.height) == (0, 0, 60, 100)  # 150 would not fit
    mask = np.zeros((200, 200), np.bool_)
    mask[:4, -4:] = True
    window = around(mask, 0.5, 0.5, np.random.default_rng(0))
    assert (window.left, window.top, window.width, window.height) == (168, 0, 32, 32)  # the smallest side


def test_tissue_is_the_breast_and_neither_the_film_nor_its_marker() -> None:
    rng = np.random.default_rng(0)
    film = 0.01 * rng.random((200, 200), dtype=np.float32)
    film[:, :90] = 0.5 + 0.2 * rng.random((200, 90), dtype=np.float32)
    film[60:80, 40:60] = 0.0  # a dark spot inside the breast
    film[10:20, 150:190] = 1.0  # a label
    lit = tissue(film)
    assert lit[:, :88].all()
    assert not lit[:, 95:].any()
    for seed in range(10):
        window = in_tissue(lit, 40, np.random.default_rng(seed))
        assert window.cut_mask(lit).mean() >= 0.9
    assert in_tissue(lit, 40, np.random.default_rng(3)) == in_tissue(lit, 40, np.random.default_rng(3))
    assert in_tissue(lit, 180, np.random.default_rng(0)).width == 180  # fuller there is not


# Crops of films


def test_every_marked_finding_and_every_normal_film_gives_a_crop(films: Path, cropped: Cropped) -> None:
    records = data.load("mini-mias", films)
    marked = [record for record in records if record.boxes]
    parents = Counter(str(crop.clinical["parent"]) for crop in cropped.records)
    assert {record.id: len(record.boxes or ()) for record in marked} == {
        id: count for id, count in parents.items() if id in {record.id for record in marked}
    }
    unmarked = {record.id for record in records if record.boxes is None}
    assert set(cropped.skipped) == unmarked
    assert len(unmarked) == 4
    assert len(parents) == len(records) - len(unmarked)
    by_id = {record.id: record for record in records}
    for crop in cropped.records:
        parent = by_id[str(crop.clinical["parent"])]
        assert (crop.patient, crop.label, crop.modality) == (parent.patient, parent.label, "MG")
        assert (crop.masks == ()) == (parent.label == "normal")


def test_a_crop_is_the_films_own_pixels_with_the_circles_in_place(films: Path, cropped: Cropped) -> None:
    by_id = {record.id: record for record in data.load("mini-mias", films)}
    for crop in cropped.records:
        parent = by_id[str(crop.clinical["parent"])]
        film, part = pixels(parent.image), pixels(crop.image)
        windows = np.lib.stride_tricks.sliding_window_view(film, part.shape)
        ((top, left),) = np.argwhere((windows == part).all(axis=(2, 3))).tolist()
        rows, columns = part.shape
        whole = np.zeros(film.shape, np.bool_)
        for box in parent.boxes or ():
            whole |= contour_to_mask(ellipse(box), (film.shape[0], film.shape[1]))
        found = read_mask(crop.masks or (), (rows, columns))
        assert np.array_equal(found, whole[top : top + rows, left : left + columns])


def test_crops_read_back_as_a_table_and_follow_their_films_folds(cropped: Cropped) -> None:
    assert table.read(cropped.table) == cropped.records
    frozen = load_split(data.info("mini-mias").text("split"))
    assert cropped.split is not None
    split = load_split(cropped.split)
    assert check_leaks(split, cropped.records) == []
    for crop in cropped.records:
        assert split.fold_of(crop.id) == frozen.fold_of(str(crop.clinical["parent"])) is not None


def test_training_takes_crops_by_patient(films: Path, tmp_path: Path) -> None:
    records = data.load("mini-mias", films)
    cropped = crop_records(records, tmp_path / "crops", Rules(normals=2), make_split(records, 3))
    source = {"name": "table", "root": str(tmp_path / "crops"), "split": str(cropped.split), "fold": 1}
    parts = collect(make_recipe({"name": "crops", "data": [source], "valid_fraction": 0.4}))
    assert len(parts.train) + len(parts.valid) + len(parts.test) == len(cropped.records)
    assert parts.test
    assert {r.clinical["fold"] for r in parts.test} == {1.0}
    sides = [{record.patient for record in side} for side in (parts.train, parts.valid, parts.test)]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


def test_crops_of_an_image_do_not_depend_on_the_others(films: Path, cropped: Cropped, tmp_path: Path) -> None:
    alone = crop_records(data.load("mini-mias", films)[:1], tmp_path / "one")
    assert len(alone.records) == 2
    for crop in alone.records:
        (same,) = (other for other in cropped.records if other.id == crop.id)
        assert np.array_equal(pixels(crop.image), pixels(same.image))


def test_each_finding_keeps_its_own_severity(films: Path, tmp_path: Path) -> None:
    film = data.load("mini-mias", films)[0]
    record = Record(
        id="a", dataset="d", image=film.image, modality="MG", label="malignant",
        boxes=(Box(4, 4, 8, 8), Box(40, 40, 10, 10)),
        clinical={"abnormality": "CIRC;SPIC", "severity": "B;M", "tissue": "fatty"},
    )  # fmt: skip
    first, second = crop_records([record], tmp_path / "crops").records
    assert (first.label, first.clinical["abnormality"], first.clinical["severity"]) == ("benign", "CIRC", "B")
    assert (second.label, second.clinical["abnormality"], second.clinical["tissue"]) == (
        "malignant",
        "SPIC",
        "fatty",
    )
    assert first.group == second.group == "a"  # without a patient, crops of one image stay together
    (box,) = first.boxes or ()
    assert box == pytest.approx((4, 4, 8, 8), abs=1)


# Other datasets, sizes, whole images


def test_parts_of_masks_are_findings_too(tmp_path: Path) -> None:
    root = fake.make("busi", tmp_path, 9, seed=1)  # its first benign image has two separate masks
    records = data.load("busi", root, group=False)
    cropped = crop_records(records, tmp_path / "crops")
    expected = sum(len(findings(read_sample(r)) or ()) or r.label == "normal" for r in records)
    assert len(cropped.records) == expected > len(records)
    sides = {max(pixels(c.image).shape) for c in cropped.records if c.label != "normal"}
    longer = {record.id: max(pixels(record.image).shape[:2]) for record in records}
    for crop in cropped.records:
        if crop.label == "normal":  # of a size that a finding's crop has, to scale
            share = max(pixels(crop.image).shape) / longer[str(crop.clinical["parent"])]
            assert min(sides) / max(longer.values()) - 0.02 <= share <= 1


def test_whole_images_only_gain_masks(films: Path, tmp_path: Path) -> None:
    cropped = crop_records(data.load("mini-mias", films), tmp_path / "whole", Rules(whole=True))
    by_id = {record.id: record for record in data.load("mini-mias", films)}
    assert len(cropped.records) == len(by_id) - 4
    for record in cropped.records:
        assert np.array_equal(pixels(record.image), pixels(by_id[record.id].image))
        assert len(record.boxes or ()) <= len(by_id[record.id].boxes or ())
    circles = read_sample(cropped.records[0]).mask
    assert circles is not None
    assert circles.sum() > 0


def test_a_size_scales_pixels_masks_and_spacing(films: Path, cropped: Cropped, tmp_path: Path) -> None:
    records = data.load("mini-mias", films)
    larger = crop_records(records, tmp_path / "large", Rules(size=96))
    for small, large in zip(cropped.records, larger.records, strict=True):
        scale = 96 / max(pixels(small.image).shape)
        assert max(pixels(large.image).shape) == 96
        assert large.spacing == pytest.approx([step / scale for step in small.spacing or ()])
        if small.masks:
            areas = [read_sample(r).mask.sum() for r in (small, large)]  # type: ignore[union-attr]
            assert areas[1] == pytest.approx(areas[0] * scale**2, rel=0.35, abs=8)
    tiny = crop_records(records, tmp_path / "tiny", Rules(size=32, whole=True))
    assert all(r.masks for r in tiny.records if r.label != "normal")  # however small, a finding is there


def test_what_cannot_be_cropped_is_said(films: Path, tmp_path: Path) -> None:
    records = data.load("mini-mias", films)
    with pytest.raises(DatasetError, match="none of 1 images has a finding"):
        crop_records([r for r in records if r.label == "normal"][:1], tmp_path / "none")
    crop_records(records[:3], tmp_path / "twice")
    with pytest.raises(UsageError, match="holds a table already"):
        crop_records(records[:3], tmp_path / "twice")
    for wrong in ({"margin": -1.0}, {"jitter": 1.5}, {"size": 8}, {"normals": -1}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Rules(**wrong)  # type: ignore[arg-type]


def test_the_command_writes_a_table_and_says_what_is_left_out(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--json"], []):
        out = tmp_path / f"crops{len(words)}"
        with pytest.raises(SystemExit) as end:
            main(["datasets", "crop", "mini-mias", "--root", str(films), "--out", str(out), *words])
        printed = capsys.readouterr().out
        assert not end.value.code
        if words:
            shown = json.loads(printed)
            assert sum(shown["counts"].values()) == len(data.load("table", out))
            assert len(shown["skipped"]) == 4
            assert Path(shown["split"]).is_file()
        else:
            assert "no finding is marked in it" in printed
            assert "Table: " in printed


# The real films


def test_real_circles_become_crops(tmp_path: Path) -> None:
    if not data.is_found("mini-mias"):
        pytest.skip("no copy of mini-mias: SENOSCOPE_DATA names no folder that holds it")
    records = [r for r in data.load("mini-mias") if r.label != "normal"]
    cropped = crop_records(records, tmp_path / "crops")
    boxes = {record.id: record.boxes or () for record in records}
    assert len(cropped.records) == sum(map(len, boxes.values())) == 119
    assert len(cropped.skipped) == 4
    assert Counter(crop.label for crop in cropped.records) == {
        "benign": 68,
        "malignant": 51,
    }  # lines of Info.txt
    for crop in cropped.records:
        rows, columns = pixels(crop.image).shape
        assert min(rows, columns) >= 32
        if len(boxes[str(crop.clinical["parent"])]) == 1 and min(rows, columns) > 32:
            share = read_mask(crop.masks or (), (rows, columns)).mean()
            assert share == pytest.approx(np.pi / 16, rel=0.15)  # a circle of half the crop's side

"""The readers on real copies of the public datasets, where they are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from senoscope import data
from senoscope.data.datasets import flowers17
from senoscope.data.verify import verify
from senoscope.schema import Record


def real(name: str) -> list[Record]:
    if not data.is_found(name):
        pytest.skip(f"no copy of {name}: SENOSCOPE_DATA names no folder that holds it")
    return data.load(name)


def mask_of(record: Record) -> np.ndarray:
    """Union of a record's masks, read independently of senoscope.imaging."""
    united = None
    for path in record.masks or ():
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L")) > 0
        united = mask if united is None else united | mask
    assert united is not None
    return united


def test_busi_counts_and_masks() -> None:
    records = real("busi")
    assert Counter(record.label for record in records) == {"benign": 437, "malignant": 210, "normal": 133}
    assert sum(len(record.masks or ()) for record in records) == 798
    assert Counter(len(record.masks or ()) for record in records) == {1: 763, 2: 16, 3: 1}
    assert all(mask_of(record).any() == (record.label != "normal") for record in records)


def test_bus_bra_counts_and_patients() -> None:
    records = real("bus-bra")
    if len(records) == 1875:
        expected = {"benign": 1268, "malignant": 607}
    else:
        assert len(records) == 1492
        expected = {"benign": 1006, "malignant": 486}
        assert len({record.patient for record in records}) == 852
        assert Counter(record.clinical["fold"] for record in records) == {1: 376, 2: 385, 3: 366, 4: 365}
    assert Counter(record.label for record in records) == expected
    folds: dict[str | None, set[object]] = {}
    for record in records:
        folds.setdefault(record.patient, set()).add(record.clinical["fold"])
    assert max(map(len, folds.values())) == 1
    assert (
        Counter(record.laterality for record in records)["L"] == Counter(r.laterality for r in records)["R"]
    )


def test_bus_bra_boxes_lie_on_the_masks() -> None:
    """Counting from 1, width less one, three wrong heights: all undone, or the edges would be off by more."""
    off = []
    for record in real("bus-bra"):
        mask = mask_of(record)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        (box,) = record.boxes or ()
        edges = (box.x, box.y, box.x + box.width, box.y + box.height)
        drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        if max(abs(first - second) for first, second in zip(edges, drawn, strict=True)) > 1.5:
            off.append(record.id)
    assert off == ["bus-bra:bus_0845-s"]  # its box is far larger than its mask


def test_mini_mias_counts_and_women() -> None:
    records = real("mini-mias")
    assert Counter(record.label for record in records) == {"normal": 207, "benign": 63, "malignant": 52}
    patients = Counter(record.patient for record in records)
    assert (len(patients), set(patients.values())) == (161, {2})
    assert Counter(record.laterality for record in records) == {"L": 161, "R": 161}
    unknown = [record.id for record in records if record.boxes is None]
    assert unknown == [f"mini-mias:mdb{number:03d}" for number in (59, 216, 233, 245)]
    assert Counter(len(record.boxes or ()) for record in records)[3] == 1
    tissues = Counter(record.clinical["tissue"] for record in records)
    assert tissues == {"dense-glandular": 112, "fatty": 106, "fatty-glandular": 104}  # Oliver 2008, table B.1


def contrast(pixels: np.ndarray, x: float, y: float, radius: float) -> float:
    """Mean gray value within a circle less that of the ring around it."""
    reach = int(1.6 * radius) + 1
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    window = pixels[top : int(y) + reach, left : int(x) + reach]
    rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
    distance = np.hypot(rows + top - y, columns + left - x)
    ring = (distance > radius) & (distance < 1.6 * radius)
    return float(window[distance < radius].mean() - window[ring].mean())


def test_mini_mias_circles_lie_on_brighter_tissue_only_the_right_way_up() -> None:
    """Findings are brighter than the ring around them; upside down, most of that contrast is gone."""
    upright, flipped = [], []
    for record in real("mini-mias"):
        with Image.open(record.image) as image:
            pixels = np.asarray(image, dtype=float)
        for box in record.boxes or ():
            radius, middle = box.width / 2, box.y + box.height / 2
            for place, contrasts in ((middle, upright), (pixels.shape[0] - middle, flipped)):
                contrasts.append(contrast(pixels, box.x + radius, place, radius))
    assert np.median(upright) > 4 * np.median(flipped)


def test_flowers_counts() -> None:
    labels = Counter(record.label for record in real("flowers17"))
    assert len(labels) == 17
    assert len(set(labels.values())) == 1
    assert next(iter(labels.values())) in (24, flowers17.PER_CLASS)


@pytest.mark.parametrize("name", ["busi", "bus-bra", "mini-mias", "flowers17"])
def test_real_copies_verify(name: str) -> None:
    real(name)
    assert [problem for problem in verify(name) if problem.level != "info"] == []

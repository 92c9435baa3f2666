"""The shared public datasets: every kind of file in them is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from senoscope._files import find_data
from senoscope.imaging import (
    analysable,
    components,
    contour_to_mask,
    fill_holes,
    mask_to_contours,
    read_image,
    read_mask,
    to_gray,
)

pytestmark = pytest.mark.skipif(find_data() is None, reason="shared data absent: set SENOSCOPE_DATA to run")


@pytest.fixture(scope="module")
def root() -> Path:
    found = find_data()
    assert found is not None
    return found


@pytest.mark.parametrize("label", ["benign", "malignant", "normal"])
def test_busi_images_and_masks(root, label):
    folder = root / "Dataset_BUSI_with_GT" / label
    images = [path for path in sorted(folder.glob("*.png")) if "_mask" not in path.name]
    for path in images[::8]:
        raw = read_image(path)
        assert analysable(to_gray(raw)) is None, path.name
        mask = read_mask(sorted(folder.glob(f"{path.stem}_mask*.png")), raw.shape)
        assert mask.any() == (label != "normal"), path.name


def test_bus_bra_contours_give_back_their_masks(root):
    folder = root / "BUSBRA"
    for path in sorted((folder / "Images").glob("*.png"))[::40]:
        raw = read_image(path)
        mask = read_mask([folder / "Masks" / path.name.replace("bus", "mask")], raw.shape)
        filled = np.zeros_like(mask)
        for contour in mask_to_contours(mask):
            filled |= contour_to_mask(contour, mask.shape)
        assert np.array_equal(filled, fill_holes(mask)), path.name
        assert len(components(fill_holes(mask))) == len(mask_to_contours(mask))


def test_mammograms_and_flowers(root):
    for path in [
        *sorted((root / "all-mias").glob("*.pgm"))[::40],
        *sorted((root / "17flowers/jpg").glob("*.jpg"))[::40],
    ]:
        raw = read_image(path)
        assert analysable(to_gray(raw)) is None, path.name
        assert raw.notes == ()

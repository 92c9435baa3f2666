"""Burnt-in text: drawn letters are found and covered, speckle and bright interfaces are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from senoscope import data
from senoscope.imaging.burnt_in import text_lines, text_mask
from senoscope.imaging.read import read_image, to_gray
from senoscope.schema import FloatArray


def tissue(seed: int, height: int = 300, width: int = 400) -> FloatArray:
    """Speckle with a few bright, thin, nearly level interfaces."""
    rng = np.random.default_rng(seed)
    image = 0.25 + 0.5 * np.abs(ndimage.gaussian_filter(rng.normal(size=(height, width)), (1, 2)))
    x = np.arange(width)
    for _ in range(6):
        y = rng.uniform(20, height - 20) + 6 * np.sin(x / rng.uniform(30, 90))
        image[y.astype(int), x] = rng.uniform(0.7, 1.0)
    return np.clip(ndimage.gaussian_filter(image, (0.8, 0.8)), 0, 1).astype(np.float32)


def labelled(
    gray: FloatArray, text: str, place: tuple[int, int], size: int = 14, shade: int = 255
) -> FloatArray:
    image = Image.fromarray((gray * 255).astype(np.uint8))
    ImageDraw.Draw(image).text(place, text, fill=shade, font=ImageFont.load_default(size))
    return np.asarray(image, dtype=np.float32) / 255


@pytest.mark.parametrize("seed", range(4))
def test_tissue_is_not_text(seed: int) -> None:
    assert not text_mask(tissue(seed)).any()


@pytest.mark.parametrize(("size", "shade"), [(12, 255), (16, 230), (24, 255), (16, 150)])
def test_a_label_is_covered_and_little_else(size: int, shade: int) -> None:
    gray = tissue(0) * 0.5
    drawn = labelled(gray, "LEFT UOQ 12", (150, 250), size, shade)
    ink = np.abs(drawn - gray) > 0.15
    mask = text_mask(drawn)
    assert mask.dtype == np.bool_
    assert mask.shape == gray.shape
    assert (mask & ink).sum() > 0.95 * ink.sum()
    assert mask.sum() < 4 * ink.sum() + 2000
    assert not mask[:200].any()


def test_two_lines_are_two_boxes() -> None:
    drawn = labelled(labelled(tissue(1) * 0.4, "RIGHT", (20, 20)), "AXILLA", (20, 60))
    tops = [top for top, _, _, _ in text_lines(drawn)]
    assert len(tops) == 2
    assert tops[0] < 30
    assert tops[1] > 55


def test_text_at_the_edge_stays_inside_the_image() -> None:
    drawn = labelled(tissue(2) * 0.4, "LOGIQ E9", (0, 0))
    for top, bottom, left, right in text_lines(drawn):
        assert 0 <= top < bottom <= 300
        assert 0 <= left < right <= 400
    assert text_mask(drawn).any()


@pytest.mark.parametrize("shape", [(1, 1), (10, 400), (64, 64)])
def test_blank_and_tiny_images_hold_none(shape: tuple[int, int]) -> None:
    assert not text_mask(np.ones(shape, dtype=np.float32)).any()


def test_real_labels_are_found() -> None:
    if not data.is_found("busi"):
        pytest.skip("no copy of busi: SENOSCOPE_DATA names no folder that holds it")
    images = {record.id: record.image for record in data.load("busi")}
    with_text = ("benign (1)", "benign (2)", "benign (205)", "benign (207)", "malignant (139)", "normal (31)")
    without = ("benign (108)", "malignant (1)", "malignant (5)", "malignant (39)", "normal (2)")
    for ids, expected in ((with_text, True), (without, False)):
        for id in ids:
            assert bool(text_lines(to_gray(read_image(images[f"busi:{id}"])))) is expected, id

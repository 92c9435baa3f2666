"""Pictures: colours, places and sizes that a person would notice if they were wrong."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from senoscope.imaging import (
    colour_bar,
    gray_image,
    heatmap_image,
    jpeg_data_uri,
    mask_image,
    mask_to_box,
    mask_to_contours,
    montage,
    overlay,
    png_bytes,
    score_text,
    side_by_side,
)
from senoscope.imaging.draw import PALETTE, colour_map
from senoscope.schema import Finding


def finding(mask: np.ndarray, score: float = 0.5) -> Finding:
    box = mask_to_box(mask)
    assert box is not None
    return Finding(
        contour=mask_to_contours(mask)[0], box=box, area_px=int(mask.sum()), area_mm2=None, score=score,
        confidence=0.9, shape="oval", orientation="parallel", margin="circumscribed",
    )  # fmt: skip


def disc(y: float, x: float, radius: float, shape: tuple[int, int] = (120, 160)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.fixture
def gray() -> np.ndarray:
    return np.full((120, 160), 0.5, np.float32)


def changed(picture: Image.Image, gray: np.ndarray) -> np.ndarray:
    before = np.asarray(gray_image(gray).convert("RGB")).astype(int)
    return np.abs(np.asarray(picture).astype(int) - before).max(axis=2)


def test_the_line_lies_on_the_contour_and_nowhere_else(gray):
    picture = overlay(gray, [finding(disc(60, 80, 30))], labels=False)
    assert (picture.size, picture.mode) == ((160, 120), "RGB")
    difference = changed(picture, gray)
    rows, columns = np.mgrid[:120, :160]
    radius = np.hypot(rows - 60, columns - 80)
    assert difference[np.abs(radius - 30) < 0.7].min() > 40
    assert difference[radius < 25].max() < 25  # inside only a breath of colour
    beyond = (radius > 34) & (np.abs(rows - 60) < 15)  # between the corner marks
    assert beyond.sum() > 1000
    assert difference[beyond].max() == 0


def test_no_findings_leave_the_image_alone(gray):
    assert changed(overlay(gray, []), gray).max() == 0


def test_each_finding_has_its_own_colour(gray):
    first, second = disc(60, 40, 20), disc(60, 120, 20)
    pixels = np.asarray(overlay(gray, [finding(first), finding(second)], labels=False)).astype(int)
    on_first, on_second = pixels[60, 18:23], pixels[60, 138:143]
    assert min(np.abs(on_first - PALETTE[0]).sum(axis=1)) < 60
    assert min(np.abs(on_second - PALETTE[1]).sum(axis=1)) < 60


def test_labels_stay_inside_and_clear_of_findings(gray):
    for place in (disc(5, 5, 5), disc(115, 155, 5), disc(60, 80, 10)):
        with_label = changed(overlay(gray, [finding(place)]), gray)
        without = changed(overlay(gray, [finding(place)], labels=False), gray)
        plate = with_label != without
        assert plate.sum() > 100
        assert not (plate & place).any()


def test_a_larger_picture_is_drawn_not_blown_up(gray):
    picture = overlay(gray, [finding(disc(60, 80, 30))], labels=False, size=640)
    assert picture.size == (640, 480)
    difference = changed(picture, np.full((480, 640), 0.5, np.float32))
    rows, columns = np.mgrid[:480, :640]
    # Pixel centres lie at (index + ½) × 4: the disc's centre is at (242, 322), its contour at about 121.
    radius = np.hypot(rows + 0.5 - 242, columns + 0.5 - 322)
    assert difference[np.abs(radius - 121) < 0.5].min() > 30
    beyond = (radius > 128) & (np.abs(rows - 242) < 60)
    assert difference[beyond].max() == 0


def test_findings_at_the_border_and_tiny_ones_can_be_drawn(gray):
    full = np.ones((120, 160), bool)
    dot = np.zeros((120, 160), bool)
    dot[0, 0] = True
    assert changed(overlay(gray, [finding(full, 0.999), finding(dot, 0.001)]), gray).max() > 40
    small = np.full((1, 1), 0.5, np.float32)
    assert overlay(small, [finding(np.ones((1, 1), bool))]).size == (1, 1)


def test_scores_never_claim_certainty():
    assert [score_text(value) for value in (0, 0.004, 0.01, 0.424, 0.99, 0.991, 1)] == [
        "<1%", "<1%", "1%", "42%", "99%", ">99%", ">99%",
    ]  # fmt: skip


def test_colour_map_is_inferno():
    matplotlib = pytest.importorskip("matplotlib")
    values = np.linspace(0, 1, 256, dtype=np.float32)
    reference = matplotlib.colormaps["inferno"](values)[:, :3] * 255
    assert np.abs(colour_map(values) - reference).max() < 7  # straight lines between 17 of its 256 colours


def test_heatmap_leaves_cold_places_alone_and_warms_evenly(gray):
    heat = np.tile(np.linspace(0, 1, 160, dtype=np.float32), (120, 1))
    pixels = np.asarray(heatmap_image(gray, heat)).astype(int)
    assert pixels[:, 0].tolist() == [[128, 128, 128]] * 120
    assert pixels[0, -1].tolist() == pytest.approx([0.25 * 127.5 + 0.75 * c for c in (252, 255, 164)], abs=1)
    wild = np.full((120, 160), np.nan, np.float32)
    wild[0, 0] = 99
    assert np.asarray(heatmap_image(gray, wild))[5, 5].tolist() == [128, 128, 128]


def test_gray_and_mask_images():
    assert np.asarray(gray_image(np.array([[0, 0.5, 1, 2, -1]], np.float32))).tolist() == [
        [0, 128, 255, 255, 0]
    ]
    assert np.asarray(mask_image(np.array([[True, False]]))).tolist() == [[255, 0]]


def test_montage_and_side_by_side_keep_every_picture_whole(gray):
    tiles = [Image.new("RGB", (40 + 10 * k, 30), colour) for k, colour in enumerate(PALETTE)]
    sheet = montage(tiles, ["a caption far too long for its little cell"] * len(tiles), columns=4)
    assert sheet.width == 4 * (90 + 8) + 8
    pixels = np.asarray(sheet).reshape(-1, 3)
    for tile, colour in zip(tiles, PALETTE, strict=True):
        assert (pixels == colour).all(axis=1).sum() >= tile.width * tile.height
    row = side_by_side([Image.new("RGB", (50, 100)), Image.new("RGB", (60, 50))])
    assert row.height == 100 + 2 * 8
    assert montage([]).size == (1, 1)


def test_encoded_pictures_decode_to_the_same(gray):
    picture = overlay(gray, [finding(disc(60, 80, 30))])
    assert np.array_equal(np.asarray(Image.open(BytesIO(png_bytes(picture)))), np.asarray(picture))
    uri = jpeg_data_uri(picture)
    head, body = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    decoded = np.asarray(Image.open(BytesIO(base64.b64decode(body)))).astype(int)
    assert np.abs(decoded - np.asarray(picture)).mean() < 3
    assert colour_bar(100, 8).size == (100, 8)

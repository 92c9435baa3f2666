"""Masks, contours and boxes: exact both ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from scipy import ndimage

from senoscope.imaging import (
    box_to_mask,
    boxes_to_mask,
    components,
    contour_area,
    contour_to_box,
    contour_to_mask,
    fill_holes,
    mask_to_box,
    mask_to_contours,
)
from senoscope.schema import Box


def blobs(seed: int, shape: tuple[int, int] = (30, 40), smooth: float = 2.0, share: float = 0.35):
    noise = np.random.default_rng(seed).normal(size=shape)
    smoothed = ndimage.gaussian_filter(noise, smooth) if smooth else noise
    return smoothed > np.quantile(smoothed, 1 - share)


def union(contours, shape):
    mask = np.zeros(shape, bool)
    for contour in contours:
        mask |= contour_to_mask(contour, shape)
    return mask


def test_contour_of_one_pixel_is_a_diamond_around_its_centre():
    mask = np.zeros((5, 5), bool)
    mask[2, 3] = True
    (contour,) = mask_to_contours(mask)
    assert {tuple(point) for point in contour.tolist()} == {(2.5, 2), (3, 1.5), (3.5, 2), (3, 2.5)}
    assert contour[0].tolist() == contour[-1].tolist()
    assert contour.dtype == np.float32
    assert contour_area(contour) == 0.5


def test_contour_of_a_rectangle():
    mask = np.zeros((10, 12), bool)
    mask[2:6, 3:10] = True  # 4 rows, 7 columns
    (contour,) = mask_to_contours(mask)
    assert contour.min(axis=0).tolist() == [2.5, 1.5]
    assert contour.max(axis=0).tolist() == [9.5, 5.5]
    assert contour_area(contour) == 4 * 7 - 4 / 8  # each corner cut by a triangle of legs ½
    assert contour_to_box(contour) == mask_to_box(mask) == Box(3, 2, 7, 4)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("smooth", [0, 0.7, 3])
def test_round_trip_is_exact_without_holes(seed, smooth):
    mask = fill_holes(blobs(seed, smooth=smooth))
    contours = mask_to_contours(mask)
    assert np.array_equal(union(contours, mask.shape), mask)
    parts = components(mask)
    assert len(contours) == len(parts)  # one outer contour per region, even where corners touch
    for part in parts[:5]:
        assert np.array_equal(union(mask_to_contours(part), mask.shape), fill_holes(part))


@pytest.mark.parametrize("seed", range(6))
def test_holes_are_filled(seed):
    mask = blobs(seed, smooth=1, share=0.6)
    assert (fill_holes(mask) != mask).any()
    assert np.array_equal(union(mask_to_contours(mask), mask.shape), fill_holes(mask))


def test_contours_come_largest_first():
    areas = [contour_area(contour) for contour in mask_to_contours(blobs(3))]
    assert len(areas) > 3
    assert areas == sorted(areas, reverse=True)


def test_masks_that_touch_the_border_and_fill_the_image():
    full = np.ones((7, 9), bool)
    (contour,) = mask_to_contours(full)
    assert np.array_equal(contour_to_mask(contour, full.shape), full)
    assert contour_to_box(contour) == Box(0, 0, 9, 7)
    assert mask_to_contours(np.zeros((7, 9), bool)) == []


@pytest.mark.parametrize("seed", range(8))
def test_polygons_agree_with_an_independent_point_test(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * math.pi, 15))
    radius = rng.uniform(5, 30, 15)
    star = np.stack([35 + radius * np.cos(angles), 25 + radius * np.sin(angles)], 1).astype(np.float32)
    y, x = np.mgrid[:50, :70]
    inside = Polygon(star.astype(float)).contains_points(np.stack([x.ravel(), y.ravel()], 1)).reshape(50, 70)
    assert np.array_equal(contour_to_mask(star, (50, 70)), inside)
    closed = np.concatenate([star, star[:1]])
    assert np.array_equal(contour_to_mask(closed, (50, 70)), inside)
    assert np.array_equal(contour_to_mask(star[::-1], (50, 70)), inside)


def test_polygon_partly_or_wholly_outside():
    big = np.array([[-100, -100], [200, -100], [200, 200], [-100, 200]], np.float32)
    assert contour_to_mask(big, (6, 8)).all()
    assert not contour_to_mask(big + 500, (6, 8)).any()
    half = np.array([[-5, 2.5], [3.5, 2.5], [3.5, 50], [-5, 50]], np.float32)
    expected = np.zeros((6, 8), bool)
    expected[3:, :4] = True
    assert np.array_equal(contour_to_mask(half, (6, 8)), expected)
    assert not contour_to_mask(half[:2], (6, 8)).any()


def test_box_round_trip_and_rounding():
    for seed in range(5):
        mask = np.zeros((20, 30), bool)
        top, left, height, width = np.random.default_rng(seed).integers(1, 10, 4)
        mask[top : top + height, left : left + width] = True
        box = mask_to_box(mask)
        assert box == Box(left, top, width, height)
        assert np.array_equal(box_to_mask(box, mask.shape), mask)
    # A pixel belongs if its centre does: x from 1.5 to 3.5 takes the centres 1.5 and 2.5, not 3.5.
    assert np.flatnonzero(box_to_mask(Box(1.5, 0, 2.0, 1), (1, 6))[0]).tolist() == [1, 2]
    assert np.flatnonzero(box_to_mask(Box(1.6, 0, 2.0, 1), (1, 6))[0]).tolist() == [2, 3]
    assert box_to_mask(Box(-10, -10, 100, 100), (4, 5)).all()
    assert not box_to_mask(Box(10, 10, 5, 5), (4, 5)).any()
    assert mask_to_box(np.zeros((4, 5), bool)) is None


def test_boxes_unite():
    mask = boxes_to_mask([Box(0, 0, 2, 1), Box(1, 0, 3, 2)], (3, 5))
    assert mask.astype(int).tolist() == [[1, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert not boxes_to_mask([], (3, 5)).any()


def test_components_largest_first_with_a_smallest_area():
    mask = np.zeros((10, 12), bool)
    mask[0:2, 0:2] = True  # 4 pixels
    mask[2, 2] = True  # touches the first at a corner only: its own region
    mask[5:9, 4:9] = True  # 20 pixels
    assert [int(part.sum()) for part in components(mask)] == [20, 4, 1]
    assert [int(part.sum()) for part in components(mask, min_area=4)] == [20, 4]
    assert np.array_equal(np.any(components(mask), axis=0), mask)
    assert components(np.zeros((4, 4), bool)) == []


def test_fill_holes_only_fills_what_is_closed():
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    assert fill_holes(ring).all()
    ring[1, 1] = ring[0, 0] = False  # a diagonal way out
    assert np.array_equal(fill_holes(ring), ring)
    for seed in range(5):
        mask = blobs(seed, smooth=0.8, share=0.6)
        reference = ndimage.binary_fill_holes(mask, structure=np.ones((3, 3), bool))
        assert np.array_equal(fill_holes(mask), reference)

from __future__ import annotations

import numpy as np
import pytest

from senoscope.imaging.masks import contour_to_mask
from senoscope.imaging.regions import find_regions, lesion_mask
from senoscope.inference.findings import make_finding
from senoscope.schema import Box

FLAT = np.full((100, 120), 0.5, np.float32)


def soft(row: float, column: float, a: float, b: float, shape: tuple[int, int] = (100, 120)) -> np.ndarray:
    """A lesion map that is 0.5 exactly on an ellipse of half axes a (across) and b (down)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot((columns - column) / a, (rows - row) / b)
    return (1 / (1 + np.exp(np.clip((distance - 1) * 12, -50, 50)))).astype(np.float32)


def test_the_contour_runs_where_the_map_crosses_the_threshold() -> None:
    (region,) = find_regions(soft(50, 60, 30, 20), 0.5, 0.001)
    radius = np.hypot((region.contour[:, 0] - 60) / 30, (region.contour[:, 1] - 50) / 20)
    assert np.abs(radius - 1).max() < 0.01


def test_contour_and_mask_are_the_same_set_of_pixels() -> None:
    random = np.random.default_rng(5)
    field = random.random((13, 15)).astype(np.float32)
    ragged = np.kron(field, np.ones((8, 8), np.float32))[:100, :120] * 0.6 + random.random((100, 120)) * 0.1
    for region in find_regions(ragged.astype(np.float32), 0.42, 0.002):
        assert (contour_to_mask(region.contour, (100, 120)) == region.full_mask((100, 120))).all()


def test_a_finding_by_hand() -> None:
    lesion_map = np.zeros((100, 120), np.float32)
    lesion_map[20:40, 30:80] = 0.8  # 20 rows, 50 columns
    (region,) = find_regions(lesion_map, 0.5, 0.001)
    finding = make_finding(region, FLAT, (0.2, 0.1), 0.7)
    assert finding.box == Box(30, 20, 50, 20)
    assert finding.area_px == 1000
    assert finding.area_mm2 == pytest.approx(1000 * 0.2 * 0.1)
    assert finding.score == 0.7
    assert finding.confidence == pytest.approx(0.8)
    # 50 px × 0.1 mm by 20 px × 0.2 mm: the outline runs between pixels, so the diagonal of about 5.0 × 4.0 mm
    assert finding.measures["max_diameter_mm"] == pytest.approx(np.hypot(5.0, 4.0), rel=0.03)
    assert "max_diameter_px" not in finding.measures


def test_without_spacing_there_are_no_millimetres() -> None:
    (region,) = find_regions(soft(50, 60, 30, 20), 0.5, 0.001)
    finding = make_finding(region, FLAT, None, 0.5)
    assert finding.area_mm2 is None
    assert finding.measures["max_diameter_px"] == pytest.approx(60, rel=0.01)
    assert not any(name.endswith("_mm") for name in finding.measures)


def test_shape_is_judged_in_millimetres_not_in_the_matrix() -> None:
    (region,) = find_regions(soft(50, 60, 20, 40), 0.5, 0.001)  # tall in pixels …
    assert make_finding(region, FLAT, None, 0.5).orientation == "not parallel"
    assert (
        make_finding(region, FLAT, (0.1, 0.4), 0.5).orientation == "parallel"
    )  # … but pixels are four times as wide
    assert make_finding(region, FLAT, (0.1, 0.2), 0.5).shape == "round"


def test_regions_come_largest_first_and_specks_are_left_out() -> None:
    lesion_map = np.maximum(soft(30, 30, 10, 8), soft(70, 80, 25, 15))
    lesion_map[5, 5] = 1
    regions = find_regions(lesion_map, 0.5, 0.002)
    assert [region.area > 700 for region in regions] == [True, False]
    assert len(find_regions(lesion_map, 0.5, 0.05)) == 1
    assert lesion_mask(regions, (100, 120)).sum() == sum(region.area for region in regions)


def test_holes_are_filled() -> None:
    lesion_map = soft(50, 60, 30, 20)
    lesion_map[48:53, 58:63] = 0.1
    (region,) = find_regions(lesion_map, 0.5, 0.001)
    assert region.full_mask((100, 120))[50, 60]
    assert len(region.contour) > 50  # the outer line, not the hole's
    assert contour_to_mask(region.contour, (100, 120))[50, 60]


def test_neighbours_one_pixel_apart_stay_apart() -> None:
    lesion_map = np.zeros((60, 60), np.float32)
    lesion_map[10:30, 10:30] = lesion_map[10:30, 31:50] = 0.9
    regions = find_regions(lesion_map, 0.5, 0.001)
    assert sorted(region.area for region in regions) == [380, 400]
    for region in regions:
        assert (contour_to_mask(region.contour, (60, 60)) == region.full_mask((60, 60))).all()


def test_a_lesion_cut_by_the_images_edge_is_closed_along_it() -> None:
    (region,) = find_regions(soft(50, 0, 30, 20), 0.5, 0.001)
    assert (contour_to_mask(region.contour, (100, 120)) == region.full_mask((100, 120))).all()


def test_nothing_found_is_an_empty_list() -> None:
    assert find_regions(np.zeros((50, 50), np.float32), 0.5, 0.001) == []


def test_a_light_part_beside_a_heavy_one_is_no_finding() -> None:
    lesion_map = np.zeros((100, 100), np.float32)
    lesion_map[20:40, 20:40] = 0.9  # weight 400 × 0.4 = 160
    lesion_map[60:70, 60:70] = 0.7  # weight 100 × 0.2 = 20, an eighth
    assert [region.area for region in find_regions(lesion_map, 0.5, 0.001, min_share=0.12)] == [400, 100]
    assert [region.area for region in find_regions(lesion_map, 0.5, 0.001, min_share=0.13)] == [400]

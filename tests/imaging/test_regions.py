from __future__ import annotations

import numpy as np
import pytest

from senoscope.imaging.masks import contour_to_mask
from senoscope.imaging.regions import Region, closer_window, find_regions, lesion_mask, refine


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


def region(row: int, column: int, height: int, width: int) -> Region:
    return Region(row, column, np.ones((height, width), np.bool_), np.zeros((4, 2), np.float32), 0.9)


def test_the_window_is_a_square_around_what_was_outlined() -> None:
    # 40 columns are the longer side, 2.2 times that is 88; the centre is row 50, column 70
    assert closer_window([region(40, 50, 20, 40)], (150, 200)) == (slice(6, 94), slice(26, 114))


def test_several_regions_share_one_window() -> None:
    both = closer_window([region(60, 60, 10, 10), region(90, 100, 20, 10)], (300, 300))
    assert both == closer_window([region(60, 60, 50, 50)], (300, 300)) == (slice(30, 140), slice(30, 140))


def test_a_speck_is_seen_with_its_surroundings() -> None:
    rows, columns = closer_window([region(100, 200, 4, 4)], (300, 390)) or pytest.fail("no window")
    assert rows.stop - rows.start == columns.stop - columns.start == 130  # a third of the longer side


@pytest.mark.parametrize(
    ("place", "rows", "columns"),
    [((0, 0), slice(0, 88), slice(0, 88)), ((110, 160), slice(62, 150), slice(112, 200))],
)
def test_at_the_edge_the_window_moves_inside(place: tuple[int, int], rows: slice, columns: slice) -> None:
    assert closer_window([region(*place, 40, 40)], (150, 200)) == (rows, columns)


def test_in_a_flat_image_the_window_has_all_rows() -> None:
    assert closer_window([region(10, 100, 40, 60)], (80, 400)) == (slice(0, 80), slice(63, 196))


@pytest.mark.parametrize("regions", [[], [region(10, 10, 100, 100)]], ids=["nothing outlined", "all is near"])
def test_where_nothing_is_gained_there_is_no_window(regions: list[Region]) -> None:
    lesion_map = np.full((150, 200), 0.4, np.float32)
    assert closer_window(regions, (150, 200)) is None
    assert refine(lesion_map, regions, lesion_map, lambda part: pytest.fail("looked again")) is lesion_map


def test_the_map_is_the_mean_of_both_looks_within_the_window_and_as_it_was_outside() -> None:
    random = np.random.default_rng(0)
    gray, first = random.random((2, 150, 200)).astype(np.float32)
    kept, second = first.copy(), random.random((88, 88)).astype(np.float32)

    def look(part: np.ndarray) -> np.ndarray:
        assert (part == gray[6:94, 26:114]).all()
        return second

    found = refine(first, [region(40, 50, 20, 40)], gray, look)
    assert found[10, 30] == pytest.approx((kept[10, 30] + second[4, 4]) / 2)
    inside = np.zeros((150, 200), np.bool_)
    inside[6:94, 26:114] = True
    np.testing.assert_allclose(found[inside], ((kept[6:94, 26:114] + second) / 2).ravel())
    assert (found[~inside] == kept[~inside]).all()
    assert (first == kept).all()

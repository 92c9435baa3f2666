from __future__ import annotations

import numpy as np
import pytest

from senoscope.imaging.regions import Region, closer_window, refine


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

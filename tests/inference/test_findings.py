from __future__ import annotations

import numpy as np
import pytest

from senoscope.imaging.regions import find_regions
from senoscope.inference.findings import make_finding
from senoscope.schema import Box

FLAT = np.full((100, 120), 0.5, np.float32)


def soft(row: float, column: float, a: float, b: float, shape: tuple[int, int] = (100, 120)) -> np.ndarray:
    """A lesion map that is 0.5 exactly on an ellipse of half axes a (across) and b (down)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot((columns - column) / a, (rows - row) / b)
    return (1 / (1 + np.exp(np.clip((distance - 1) * 12, -50, 50)))).astype(np.float32)


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

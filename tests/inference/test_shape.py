"""Descriptors against ellipses and stars whose every number is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.special import ellipe

from senoscope.inference.shape import (
    describe,
    fit_ellipse,
    margin_word,
    orientation_word,
    polygon_moments,
    resample,
    shape_word,
    sharpness,
)


def ellipse(a: float, b: float, degrees: float = 0.0, at: tuple[float, float] = (100.0, 90.0)) -> np.ndarray:
    """Half axes a (across) and b (down), turned."""
    t = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    turn = np.radians(degrees)
    x, y = a * np.cos(t), b * np.sin(t)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    return (points + at).astype(np.float32)


def star(radius: float, swing: float, points: int) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 1440, endpoint=False)
    r = radius + swing * np.cos(points * t)
    return np.stack([100 + r * np.cos(t), 90 + r * np.sin(t)], axis=1).astype(np.float32)


def test_moments_of_a_rectangle() -> None:
    rectangle = np.array([[2, 1], [8, 1], [8, 5], [2, 5]], np.float32)
    area, x, y, xx, yy, xy = polygon_moments(rectangle)
    assert (area, x, y) == (24.0, 5.0, 3.0)
    assert (xx, yy, xy) == (pytest.approx(6**2 / 12), pytest.approx(4**2 / 12), pytest.approx(0, abs=1e-12))
    assert polygon_moments(rectangle[::-1]) == pytest.approx((area, x, y, xx, yy, xy))  # either way round


@pytest.mark.parametrize(
    ("a", "b", "degrees", "angle"), [(60, 30, 20, 20), (60, 30, -20, 20), (20, 50, 0, 90)]
)
def test_the_fitted_ellipse_of_an_ellipse_is_itself(a: float, b: float, degrees: float, angle: float) -> None:
    fitted = fit_ellipse(polygon_moments(ellipse(a, b, degrees)))
    assert (fitted.major, fitted.minor) == (
        pytest.approx(2 * max(a, b), rel=1e-3),
        pytest.approx(2 * min(a, b), rel=1e-3),
    )
    assert fitted.angle == pytest.approx(angle, abs=0.01)
    assert (fitted.x, fitted.y) == (pytest.approx(100, abs=0.01), pytest.approx(90, abs=0.01))


def test_measures_of_an_ellipse() -> None:
    measures = describe(ellipse(60, 30, 20))
    perimeter = 4 * 60 * ellipe(1 - (30 / 60) ** 2)  # complete elliptic integral of the second kind
    assert measures["circularity"] == pytest.approx(4 * np.pi * np.pi * 60 * 30 / perimeter**2, rel=2e-3)
    assert measures["axis_ratio"] == pytest.approx(0.5, rel=1e-3)
    assert measures["max_diameter"] == pytest.approx(120, rel=1e-3)
    assert measures["solidity"] > 0.998
    assert measures["ellipse_fit"] > 0.96
    assert measures["roughness"] < 0.01


def test_measures_of_a_star() -> None:
    outline = star(40, 8, 12)
    measures = describe(outline)
    assert measures["solidity"] == pytest.approx(
        polygon_moments(outline)[0] / ConvexHull(outline).volume, abs=0.02
    )
    # r = R + a cos 12t has harmonics 13 and -11 of a/2 each: root mean square a/√2
    assert measures["roughness"] == pytest.approx(8 / np.sqrt(2) / np.sqrt(40**2 + 8**2 / 2), rel=0.12)
    assert measures["max_diameter"] == pytest.approx(96, rel=0.01)


def test_measures_do_not_change_with_place_scale_or_direction() -> None:
    one = describe(ellipse(60, 30, 20))
    other = describe((ellipse(60, 30, 20)[::-1] * 3 + 500).astype(np.float32))
    assert other.pop("max_diameter") == pytest.approx(3 * one.pop("max_diameter"), rel=1e-4)
    assert other == pytest.approx(one, rel=0.02, abs=1e-3)


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        (ellipse(40, 40), ("round", "not parallel", "circumscribed")),
        (ellipse(60, 30, 15), ("oval", "parallel", "circumscribed")),
        (ellipse(60, 30, 80), ("oval", "not parallel", "circumscribed")),
        (ellipse(30, 60), ("oval", "not parallel", "circumscribed")),
        (star(40, 8, 12), ("irregular", "not parallel", "not circumscribed")),
        (star(40, 1.9, 16), ("round", "not parallel", "not circumscribed")),
    ],
    ids=["circle", "wide", "steep", "tall", "star", "fine spikes"],
)
def test_words(outline: np.ndarray, words: tuple[str, str, str]) -> None:
    measures = describe(outline)
    assert (shape_word(measures), orientation_word(measures), margin_word(measures)) == words


def test_gentle_lobes_are_not_a_rough_margin() -> None:
    assert margin_word(describe(star(40, 4, 3))) == "circumscribed"


def test_sharpness_by_hand() -> None:
    rows, columns = np.mgrid[:200, :200]
    inside = (rows - 90) ** 2 + (columns - 100) ** 2 < 40**2
    noise = np.random.default_rng(0).normal(0, 0.05, (200, 200))
    dark = (np.where(inside, 0.2, 0.5) + noise).astype(np.float32)
    outline = ellipse(40, 40)
    assert sharpness(dark, outline, 8) == pytest.approx(0.3 / 0.05, rel=0.15)  # step over standard deviation
    assert sharpness(dark, outline[::-1], 8) == pytest.approx(sharpness(dark, outline, 8), rel=0.06)
    assert abs(sharpness((0.5 + noise).astype(np.float32), outline, 8)) < 0.3  # no lesion, no step
    assert sharpness(1 - dark, outline, 8) < 0  # brighter than its surroundings


def test_a_blurred_margin_is_not_circumscribed() -> None:
    assert margin_word({**describe(ellipse(60, 40)), "sharpness": 0.2}) == "not circumscribed"
    assert margin_word({**describe(ellipse(60, 40)), "sharpness": 2.0}) == "circumscribed"


def test_resampling_keeps_equal_steps() -> None:
    even = resample(np.array([[0, 0], [4, 0], [4, 2], [0, 2]], np.float32), 12)
    assert np.hypot(*np.diff(even, axis=0).T) == pytest.approx(np.ones(11))


def test_degenerate_outlines_do_not_crash() -> None:
    for points in ([[1, 1], [1, 1], [1, 1]], [[0, 0], [5, 0], [2, 0]]):
        measures = describe(np.array(points, np.float32))
        assert np.isfinite(list(measures.values())).all()
        assert shape_word(measures) == "irregular"

"""Descriptors of a lesion's outline, aligned with the words of BI-RADS for ultrasound masses (ACR, 5th ed., 2013).

They are geometry and image contrast, not a reading: nothing here issues a BI-RADS category.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from senoscope.schema import FloatArray

ROUND = 0.87
"""A fitted ellipse whose short axis is at least this share of its long one is round."""
ELLIPSE_FIT = 0.86
"""An outline that overlaps its fitted ellipse less than this (intersection over union) is irregular …"""
SOLIDITY = 0.90
"""… and so is one that fills less than this of its convex hull."""
ROUGHNESS = 0.030
"""Margins that stray from their own smoothed course by more than this share of the radius are not circumscribed …"""
SHARPNESS = 0.55
"""… and neither are those across which brightness steps by less than this many local standard deviations."""

_POINTS = 128
_COARSE = 6
"""Fourier harmonics below this draw the course of a margin (ellipse, gentle lobes); the others are its roughness."""
_GRID = 96
_TURNS = np.linspace(0.0, 2.0 * np.pi, 256, endpoint=False)
_DIRECTIONS = np.stack([np.cos(_TURNS), np.sin(_TURNS)])

Moments = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Ellipse:
    """The ellipse with an outline's second moments. Axes are full lengths; ``angle`` is the long one's, 0..90° against
    horizontal."""

    x: float
    y: float
    major: float
    minor: float
    angle: float


def polygon_moments(points: FloatArray) -> Moments:
    """Area, centre (x, y) and central second moments per area (xx, yy, xy) of a simple closed polygon N×2.

    Green's theorem over the edges, exact for the polygon (Bourke 1988; Steger 1996, "On the calculation of moments
    of polygons").
    """
    origin = points[0].astype(np.float64)
    x, y = (points.astype(np.float64) - origin).T
    nx, ny = np.roll(x, -1), np.roll(y, -1)
    cross = x * ny - nx * y
    area = float(cross.sum()) / 2.0
    if abs(area) < 1e-9:
        return 0.0, float(origin[0]), float(origin[1]), 0.0, 0.0, 0.0
    cx = float(((x + nx) * cross).sum()) / (6.0 * area)
    cy = float(((y + ny) * cross).sum()) / (6.0 * area)
    xx = float(((x * x + x * nx + nx * nx) * cross).sum()) / (12.0 * area) - cx * cx
    yy = float(((y * y + y * ny + ny * ny) * cross).sum()) / (12.0 * area) - cy * cy
    xy = float(((x * ny + 2 * x * y + 2 * nx * ny + nx * y) * cross).sum()) / (24.0 * area) - cx * cy
    return abs(area), cx + float(origin[0]), cy + float(origin[1]), max(xx, 0.0), max(yy, 0.0), xy


def fit_ellipse(moments: Moments) -> Ellipse:
    """The ellipse with these moments, axes in their unit."""
    _, x, y, xx, yy, xy = moments
    middle, spread = (xx + yy) / 2.0, float(np.hypot((xx - yy) / 2.0, xy))
    angle = abs(float(np.degrees(0.5 * np.arctan2(2.0 * xy, xx - yy)))) if spread > 1e-6 * middle else 0.0
    return Ellipse(
        x, y, 4.0 * float(np.sqrt(middle + spread)), 4.0 * float(np.sqrt(max(middle - spread, 0.0))), angle
    )


def describe(points: FloatArray) -> dict[str, float]:
    """Numbers that say how an outline N×2 is shaped, all without unit except the diameter (the points' unit).

    ``circularity`` 4πA/P² (1 for a circle), ``solidity`` area over convex hull, ``axis_ratio`` short over long axis,
    ``angle_deg`` of the long axis against horizontal, ``ellipse_fit`` overlap with the fitted ellipse (intersection
    over union), ``roughness`` root-mean-square distance of the margin from its smooth course over the equivalent
    radius, ``max_diameter`` the longest distance across.
    """
    even = resample(points, _POINTS)
    moments = polygon_moments(points)
    area, ellipse = moments[0], fit_ellipse(moments)
    perimeter = float(np.hypot(*(np.roll(even, -1, axis=0) - even).T).sum())
    hull_area, diameter = _hull(even)
    return {
        "circularity": min(4.0 * np.pi * area / perimeter**2, 1.0) if perimeter else 0.0,
        "solidity": min(area / hull_area, 1.0) if hull_area else 0.0,
        "axis_ratio": ellipse.minor / ellipse.major if ellipse.major else 0.0,
        "angle_deg": ellipse.angle,
        "ellipse_fit": _ellipse_fit(even, moments),
        "roughness": _roughness(even, area),
        "max_diameter": diameter,
    }


def resample(points: FloatArray, count: int) -> FloatArray:
    """A closed polygon as ``count`` points at equal steps along its way round."""
    closed = np.vstack([points, points[:1]]).astype(np.float64)
    steps = np.hypot(*np.diff(closed, axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0.0, way[-1], count, endpoint=False)
    return np.stack([np.interp(at, way, closed[:, 0]), np.interp(at, way, closed[:, 1])], axis=1).astype(
        np.float32
    )


def shape_word(measures: dict[str, float]) -> str:
    """``irregular``, ``round`` or ``oval``."""
    if measures["ellipse_fit"] < ELLIPSE_FIT or measures["solidity"] < SOLIDITY:
        return "irregular"
    return "round" if measures["axis_ratio"] >= ROUND else "oval"


def orientation_word(measures: dict[str, float]) -> str:
    """``parallel`` if wider than tall (long axis nearer to horizontal); round counts as ``not parallel`` in BI-RADS."""
    wide = measures["angle_deg"] <= 45.0 and measures["axis_ratio"] < ROUND
    return "parallel" if wide else "not parallel"


def margin_word(measures: dict[str, float]) -> str:
    """``circumscribed`` if smooth and, where brightness was measured, sharp; else ``not circumscribed``."""
    smooth = measures["roughness"] <= ROUGHNESS and measures["solidity"] >= SOLIDITY
    sharp = measures.get("sharpness", SHARPNESS) >= SHARPNESS
    return "circumscribed" if smooth and sharp else "not circumscribed"


def sharpness(gray: FloatArray, points: FloatArray, band: float) -> float:
    """How clearly brightness changes across a margin: median step from just inside to just outside it, in units of
    the local standard deviation of single samples.

    ``gray`` H×W and ``points`` N×2 share a frame; ``band`` is how far in and out (px) the samples reach.
    """
    even = resample(points, _POINTS)
    tangent = np.roll(even, -1, axis=0) - np.roll(even, 1, axis=0)
    length = np.maximum(np.hypot(*tangent.T), 1e-6)[:, None]
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) / length
    if _signed_area(even) < 0:
        normal = -normal
    offsets = np.linspace(0.35, 1.0, 4, dtype=np.float32) * np.float32(band)
    outside = np.stack([_sample(gray, even + normal * step) for step in offsets])
    inside = np.stack([_sample(gray, even - normal * step) for step in offsets])
    step = float(np.median(outside.mean(axis=0) - inside.mean(axis=0)))
    noise = float(np.sqrt((outside.var() + inside.var()) / 2.0))
    return step / max(noise, 1e-3)


def _signed_area(points: NDArray[np.floating]) -> float:
    x, y = points.astype(np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2.0


def _sample(gray: FloatArray, points: FloatArray) -> FloatArray:
    height, width = gray.shape
    x = np.clip(np.rint(points[:, 0]).astype(np.intp), 0, width - 1)
    y = np.clip(np.rint(points[:, 1]).astype(np.intp), 0, height - 1)
    return gray[y, x]


def _hull(even: FloatArray) -> tuple[float, float]:
    """Area of the convex hull and the longest distance across, from the furthest point in each of 256 directions."""
    centred = even.astype(np.float64) - even.mean(axis=0)
    furthest = (centred @ _DIRECTIONS).argmax(axis=0)
    corners = centred[furthest[np.append(True, np.diff(furthest) != 0)]]
    gaps = corners[:, None] - corners[None]
    return abs(_signed_area(corners)), float(np.sqrt((gaps**2).sum(axis=2).max()))


def _roughness(even: FloatArray, area: float) -> float:
    """Energy of the high harmonics of the outline (Fourier descriptors, Zahn & Roskies 1972) over its radius."""
    harmonics = np.fft.fft(even[:, 0] + 1j * even[:, 1]) / len(even)
    order = np.abs(np.fft.fftfreq(len(even), 1.0 / len(even)))
    fine = float(np.sqrt((np.abs(harmonics[order >= _COARSE]) ** 2).sum()))
    radius = float(np.sqrt(area / np.pi))
    return fine / radius if radius > 0 else 0.0


def _ellipse_fit(even: FloatArray, moments: Moments) -> float:
    """Intersection over union of outline and fitted ellipse, counted on a grid of 96×96 over both."""
    _, x, y, xx, yy, xy = moments
    determinant = xx * yy - xy * xy
    if determinant <= 1e-12:
        return 0.0
    reach = np.maximum(np.abs(even - (x, y)).max(axis=0), 2.0 * np.sqrt([xx, yy]))
    canvas = Image.new("1", (_GRID, _GRID))
    points = ((even - (x, y)) / reach + 1.0) * (_GRID / 2.0) - 0.5
    ImageDraw.Draw(canvas).polygon([(float(px), float(py)) for px, py in points], fill=1)
    outline = np.asarray(canvas)
    axis = (np.arange(_GRID) + 0.5) / (_GRID / 2.0) - 1.0
    dx, dy = axis[None, :] * reach[0], axis[:, None] * reach[1]
    ellipse = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / determinant <= 4.0
    return float((outline & ellipse).sum() / max((outline | ellipse).sum(), 1))

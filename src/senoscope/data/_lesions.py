"""Lesions: their outline, what they are made of, and how they sit in the tissue.

An outline is a closed polar curve around a tilted ellipse, so its mask is exact at any size. Everything a
picture shows below a lesion (enhancement, shadow, edge shadows) comes from ``loss`` alone, integrated along
the scan lines by ``_acoustics.path_loss``; nothing is painted there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from senoscope.data._acoustics import Grid, Tissue, field
from senoscope.data._anatomy import Layers
from senoscope.schema import BoolArray, FloatArray

ANGLES = 2048


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion in mm, dB and dB/cm/MHz. ``outline``: radius in units of the ellipse at ANGLES angles."""

    kind: str
    label: str
    half_width: float
    half_height: float
    outline: FloatArray
    level: float  # backscatter against gland, at most
    contrast: float  # at least this far below the tissue around
    mottle: float  # standard deviation of the backscatter within
    loss: float
    soft: float  # width of the margin's transition
    capsule: float = 0.0  # coherent amplitude of a thin wall
    wall_loss: float = 0.0  # attenuation of that wall: long where the beam grazes it
    halo: float = 0.0  # extra backscatter around
    halo_width: float = 1.0
    rays: FloatArray | None = None  # strands running out of the margin, per angle
    calcifications: int = 0
    tilt: float = 0.0
    x: float = 0.0
    z: float = 0.0

    def polar(self, z: FloatArray, x: FloatArray) -> tuple[FloatArray, NDArray[np.int32], FloatArray]:
        """Where each place lies against the margin.

        Returns mm outside (+) or inside (−) it along the ray from the centre, the angle's index, and the
        cosine between the margin's normal and the beam.
        """
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        across, down = x - np.float32(self.x), z - np.float32(self.z)
        u, v = across * cos + down * sin, down * cos - across * sin
        u_unit, v_unit = u / np.float32(self.half_width), v / np.float32(self.half_height)
        rho = np.maximum(np.hypot(u_unit, v_unit), np.float32(1e-4))
        index = (
            np.rint(np.arctan2(v_unit, u_unit) * np.float32(ANGLES / (2 * np.pi))).astype(np.int32) % ANGLES
        )
        outside = (1 - self.outline[index] / rho) * np.hypot(u, v)
        steep = v_unit / np.float32(self.half_height)
        facing = np.abs(steep) / np.maximum(
            np.hypot(steep, u_unit / np.float32(self.half_width)), np.float32(1e-6)
        )
        return outside.astype(np.float32, copy=False), index, facing.astype(np.float32, copy=False)

    def reach(self) -> float:
        """Radius in mm of a circle around the centre that holds the lesion."""
        return float(max(self.half_width, self.half_height) * self.outline.max())

    def mask(self, grid: Grid) -> BoolArray:
        """Samples of ``grid`` within the margin."""
        mask = np.zeros(grid.shape, bool)
        window = _window(self, grid, 0.5)
        if mask[window].size:
            mask[window] = self.polar(grid.z[window[0]], grid.x[window])[0] < 0
        return mask


def draw_lesion(rng: np.random.Generator, label: str, grid: Grid, layers: Layers) -> Lesion:
    """A lesion of ``label`` (benign or malignant) placed where it fits."""
    if label == "benign":
        kind = str(rng.choice(["cyst", "fibroadenoma", "dense"], p=[0.3, 0.58, 0.12]))
    else:
        kind = str(rng.choice(["spiculated", "angular", "bulky"], p=[0.45, 0.37, 0.18]))
    lesion = _KINDS[kind](rng, _half_width(rng, label, grid))
    return _place(rng, lesion, grid, layers)


def insert(rng: np.random.Generator, lesion: Lesion, tissue: Tissue, grid: Grid) -> None:
    """Put ``lesion`` into ``tissue`` (in place)."""
    window = _window(lesion, grid, 4 * lesion.halo_width + 1)
    outside, index, facing = lesion.polar(grid.z[window[0]], grid.x[window])
    echo, mirror, loss = tissue.echo[window], tissue.mirror[window], tissue.loss[window]
    ring = (outside > 0) & (outside < 2.5)
    around = float(echo[ring].mean()) if ring.any() else -6.0
    level = min(lesion.level, around - lesion.contrast)
    grain = field(rng, grid, (1.6, 1.8))[window] + 0.6 * field(rng, grid, (0.6, 0.8))[window]
    inner = np.float32(level) + np.float32(lesion.mottle) * grain
    within = 1 / (1 + np.exp(np.clip(outside / np.float32(lesion.soft), -30, 30)))
    if lesion.halo:
        strength = np.exp(-np.maximum(outside, 0) / np.float32(lesion.halo_width))
        strands = 0 if lesion.rays is None else lesion.rays[index]
        lift = np.float32(lesion.halo) * strength * (1 + strands)
        # The desmoplastic rim evens out what it runs through, and is brighter than it.
        echo += lift - 0.6 * strength * (echo - np.float32(max(around, -4)))
        mirror *= 1 - 0.7 * strength
    echo += (inner - echo) * within
    mirror *= 1 - within
    loss += (np.float32(lesion.loss) - loss) * within
    if lesion.capsule or lesion.wall_loss:
        wall = np.exp(-(((outside - np.float32(0.08)) / np.float32(0.14)) ** 2))
        patchy = np.clip(0.75 + _waves(rng, range(2, 9), 0.5, 0.5), 0, 1.6)[index]
        mirror += np.float32(lesion.capsule) * wall * patchy * (0.08 + facing**3)
        loss += np.float32(lesion.wall_loss) * wall
    _calcify(rng, lesion, tissue, grid)


def _calcify(rng: np.random.Generator, lesion: Lesion, tissue: Tissue, grid: Grid) -> None:
    for _ in range(lesion.calcifications):
        angle, radius = rng.uniform(0, 2 * np.pi), 0.75 * np.sqrt(rng.random())
        x = lesion.x + radius * lesion.half_width * np.cos(angle)
        z = lesion.z + radius * lesion.half_height * np.sin(angle)
        size = rng.uniform(0.06, 0.13)
        window = _span(grid, z - 1, z + 1, x - 1, x + 1)
        spot = np.exp(-((grid.z[window[0]] - z) ** 2 + (grid.x[window] - x) ** 2) / np.float32(2 * size**2))
        tissue.mirror[window] += np.float32(rng.uniform(0.8, 3)) * spot
        tissue.loss[window] += np.float32(4) * spot


def _window(lesion: Lesion, grid: Grid, margin: float) -> tuple[slice, slice]:
    reach = lesion.reach() + margin
    return _span(grid, lesion.z - reach, lesion.z + reach, lesion.x - reach, lesion.x + reach)


def _span(grid: Grid, top: float, bottom: float, left: float, right: float) -> tuple[slice, slice]:
    """The part of the grid that covers a box in mm (lines lean in a fan: its top and bottom row both count)."""
    first, last = np.searchsorted(grid.z[:, 0], (top, bottom))
    inside = ((grid.x[[0, -1]] >= left) & (grid.x[[0, -1]] <= right)).any(axis=0)
    columns = np.flatnonzero(inside)
    if not columns.size:
        return slice(first, last), slice(0, 0)
    return slice(int(first), int(last)), slice(int(columns[0]), int(columns[-1]) + 1)


def _half_width(rng: np.random.Generator, label: str, grid: Grid) -> float:
    median = 5.2 if label == "benign" else 6.3
    return float(np.clip(median * np.exp(rng.normal(0, 0.42)), 2.3, 0.27 * min(grid.width, grid.depth * 1.2)))


def _place(rng: np.random.Generator, lesion: Lesion, grid: Grid, layers: Layers) -> Lesion:
    tilt = float(rng.normal(0, 0.16 if lesion.label == "benign" else 0.3))
    side = max(0.0, grid.width / 2 - lesion.reach() - 1.5)
    x = float(rng.uniform(-side, side))
    line = int(np.clip((x + grid.width / 2) / grid.dx, 0, grid.shape[1] - 1))
    high = float(layers.skin[0, line]) + lesion.half_height * 1.1 + 0.8
    low = max(
        high,
        min(float(layers.gland[0, line]) - 0.4 * lesion.half_height, 0.7 * grid.depth - lesion.half_height),
    )
    z = float(high + (low - high) * rng.beta(1.3, 1.5))
    # A shadow deeper than some 16 dB would swallow the lower margin, and the exact mask with it.
    steepest = 0.6 + rng.uniform(8, 17) / (2 * 0.75 * 10 * 0.2 * lesion.half_height)
    return replace(lesion, x=x, z=z, tilt=tilt, loss=min(lesion.loss, float(steepest)))


def _waves(rng: np.random.Generator, orders: range, size: float, fall: float) -> FloatArray:
    """A sum of harmonics, standard deviation near ``size``, weaker with order to the power ``fall``."""
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    weights = np.array([order**-fall for order in orders])
    weights *= size * np.sqrt(2) / np.sqrt(np.sum(weights**2))
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    waves = sum(w * np.cos(k * angle + p) for w, k, p in zip(weights, orders, phases, strict=True))
    return np.asarray(waves, np.float32)


def _peaks(
    rng: np.random.Generator, count: int, width: tuple[float, float], height: tuple[float, float]
) -> FloatArray:
    """Pointed bumps at random angles; widths in radians."""
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    total = np.zeros(ANGLES)
    for _ in range(count):
        off = np.abs((angle - rng.uniform(0, 2 * np.pi) + np.pi) % (2 * np.pi) - np.pi)
        total = np.maximum(total, rng.uniform(*height) * np.exp(-off / rng.uniform(*width)))
    return total.astype(np.float32)


def _corners(rng: np.random.Generator) -> FloatArray:
    """A rounded polygon of five to eight uneven sides."""
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    count = int(rng.integers(5, 9))
    turned = (np.arange(count) + rng.uniform(-0.3, 0.3, count) + rng.random() * count) * 2 * np.pi / count
    sides = rng.uniform(0.7, 1.05, count)
    cosine = np.cos(angle[:, None] - turned[None, :])
    radius: FloatArray = np.min(sides / np.maximum(cosine, 0.15), axis=1).astype(np.float32)
    return np.minimum(radius, np.float32(1.5))


def _cyst(rng: np.random.Generator, half_width: float) -> Lesion:
    return Lesion(
        kind="cyst",
        label="benign",
        half_width=half_width,
        half_height=half_width * float(rng.uniform(0.5, 0.98)),
        outline=1 + _waves(rng, range(2, 5), float(rng.uniform(0.01, 0.05)), 1.5),
        level=float(rng.uniform(-52, -34)),
        contrast=18,
        mottle=1.0,
        loss=float(rng.uniform(0.02, 0.15)),
        soft=0.05,
        capsule=float(rng.uniform(0.5, 1.6)),
        wall_loss=float(rng.uniform(1.0, 4.0)),
    )


def _fibroadenoma(rng: np.random.Generator, half_width: float) -> Lesion:
    lobed = rng.random() < 0.35
    return Lesion(
        kind="fibroadenoma",
        label="benign",
        half_width=half_width * 1.1,
        half_height=half_width * 1.1 * float(rng.uniform(0.4, 0.78)),
        outline=1
        + _waves(
            rng, range(2, 5), float(rng.uniform(0.05, 0.09) if lobed else rng.uniform(0.015, 0.045)), 0.8
        ),
        level=float(rng.uniform(-25, -16)),
        contrast=float(rng.uniform(7, 11)),
        mottle=float(rng.uniform(0.4, 1.6)),
        loss=float(rng.uniform(0.3, 0.85)),
        soft=float(rng.uniform(0.06, 0.26)),
        capsule=float(rng.uniform(0.2, 1.3)) if rng.random() < 0.65 else 0.0,
        wall_loss=float(rng.uniform(0.5, 3.5)),
        calcifications=int(rng.integers(1, 4)) if rng.random() < 0.06 else 0,
    )


def _dense(rng: np.random.Generator, half_width: float) -> Lesion:
    """Benign but shadowing: a hyalinised fibroadenoma, a scar."""
    return replace(
        _fibroadenoma(rng, half_width),
        kind="dense",
        outline=1 + _waves(rng, range(2, 6), float(rng.uniform(0.03, 0.07)), 0.8),
        mottle=float(rng.uniform(1.0, 2.4)),
        loss=float(rng.uniform(1.0, 1.7)),
        soft=float(rng.uniform(0.1, 0.3)),
    )


def _spiculated(rng: np.random.Generator, half_width: float) -> Lesion:
    height = half_width * float(rng.uniform(0.75, 1.35))
    spikes = _peaks(rng, int(rng.integers(5, 12)), (0.07, 0.2), (0.08, 0.38))
    rays = _peaks(rng, int(rng.integers(14, 34)), (0.015, 0.035), (0.5, 1.6)) - _peaks(
        rng, int(rng.integers(6, 16)), (0.015, 0.04), (0.5, 1.6)
    )
    return Lesion(
        kind="spiculated",
        label="malignant",
        half_width=half_width * 0.85,
        half_height=height * 0.85,
        outline=0.9 + _waves(rng, range(2, 7), float(rng.uniform(0.05, 0.1)), 0.7) + spikes,
        level=float(rng.uniform(-24, -15)),
        contrast=float(rng.uniform(7, 11)),
        mottle=float(rng.uniform(1.8, 3.6)),
        loss=float(rng.uniform(1.3, 2.6)),
        soft=float(rng.uniform(0.08, 0.34)),
        halo=float(rng.uniform(2, 9)),
        halo_width=float(rng.uniform(1.0, 2.4)),
        rays=rays,
        calcifications=int(rng.integers(3, 11)) if rng.random() < 0.3 else 0,
    )


def _angular(rng: np.random.Generator, half_width: float) -> Lesion:
    return Lesion(
        kind="angular",
        label="malignant",
        half_width=half_width,
        half_height=half_width * float(rng.uniform(0.7, 1.3)),
        outline=_corners(rng) + _waves(rng, range(6, 26), float(rng.uniform(0.02, 0.055)), 0.7),
        level=float(rng.uniform(-25, -16)),
        contrast=float(rng.uniform(8, 12)),
        mottle=float(rng.uniform(1.5, 3.2)),
        loss=float(rng.uniform(0.9, 2.2)),
        soft=float(rng.uniform(0.06, 0.3)),
        halo=float(rng.uniform(2, 7)),
        halo_width=float(rng.uniform(0.6, 1.5)),
        calcifications=int(rng.integers(3, 11)) if rng.random() < 0.3 else 0,
    )


def _bulky(rng: np.random.Generator, half_width: float) -> Lesion:
    """High-grade and cellular: rounder, with fine lobulation and little shadow, even some enhancement."""
    return Lesion(
        kind="bulky",
        label="malignant",
        half_width=half_width * 1.1,
        half_height=half_width * float(rng.uniform(0.75, 1.2)),
        outline=1
        + _waves(rng, range(2, 6), float(rng.uniform(0.04, 0.08)), 0.6)
        + _waves(rng, range(6, 22), float(rng.uniform(0.03, 0.055)), 0.6),
        level=float(rng.uniform(-30, -19)),
        contrast=float(rng.uniform(8, 12)),
        mottle=float(rng.uniform(1.8, 3.2)),
        loss=float(rng.uniform(0.3, 1.0)),
        soft=float(rng.uniform(0.05, 0.16)),
        halo=float(rng.uniform(1, 5)),
        halo_width=float(rng.uniform(0.5, 1.2)),
        calcifications=int(rng.integers(3, 9)) if rng.random() < 0.25 else 0,
    )


_KINDS = {
    "cyst": _cyst,
    "fibroadenoma": _fibroadenoma,
    "dense": _dense,
    "spiculated": _spiculated,
    "angular": _angular,
    "bulky": _bulky,
}

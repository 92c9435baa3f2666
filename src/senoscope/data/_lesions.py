"""A lesion: its outline, what it is made of, and how it sits in the tissue.

An outline is a closed polar curve around a tilted ellipse, so its mask is exact at any size. Everything a
picture shows below a lesion (enhancement, shadow, edge shadows) comes from ``loss`` alone, integrated along
the scan lines by ``_acoustics.path_loss``; nothing is painted there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from senoscope.data._acoustics import Tissue
from senoscope.data._scanner import Grid, field
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


def insert(rng: np.random.Generator, lesion: Lesion, tissue: Tissue, grid: Grid) -> None:
    """Put ``lesion`` into ``tissue`` (in place)."""
    window = _window(lesion, grid, 4 * lesion.halo_width + 1)
    outside, index, facing = lesion.polar(grid.z[window[0]], grid.x[window])
    echo, mirror, loss = tissue.echo[window], tissue.mirror[window], tissue.loss[window]
    ring = (outside > 0) & (outside < 2.5)
    # The darker part of the surroundings counts: a lesion must stand out from the fat islands beside it.
    around = float(np.percentile(echo[ring], 40)) if ring.any() else -6.0
    level = min(lesion.level, around - lesion.contrast)
    part = grid.rows(window[0])
    grain = (field(rng, part, (1.6, 1.8)) + np.float32(0.6) * field(rng, part, (0.6, 0.8)))[:, window[1]]
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
        patchy = np.clip(0.75 + waves(rng, range(2, 9), 0.5, 0.5), 0, 1.6)[index]
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
        tissue.mirror[window] += np.float32(rng.uniform(0.6, 2.2)) * spot
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


def waves(rng: np.random.Generator, orders: range, size: float, fall: float) -> FloatArray:
    """A sum of harmonics, standard deviation near ``size``, weaker with order to the power ``fall``."""
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    weights = np.array([order**-fall for order in orders])
    weights *= size * np.sqrt(2) / np.sqrt(np.sum(weights**2))
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    waves = sum(w * np.cos(k * angle + p) for w, k, p in zip(weights, orders, phases, strict=True))
    return np.asarray(waves, np.float32)

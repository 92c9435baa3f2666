"""The simulated scanner: its settings, where it samples, and smooth noise on those samples.

Rows are depths, columns are scan lines, lengths are in mm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from senoscope.schema import FloatArray

OVERSAMPLE = 2
"""Depth samples per image row: the envelope is detected before it is thinned to the picture's rows."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Sample positions in mm: depths ``z`` n×1, lateral places ``x`` n×m (0 in the middle), steps, extents."""

    z: FloatArray
    x: FloatArray
    dz: float
    dx: float
    depth: float
    width: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.z.shape[0], self.x.shape[1]

    def band(self, top: float, bottom: float) -> tuple[slice, Grid]:
        """The rows from ``top`` to ``bottom`` mm (at least four) and a grid of those alone."""
        rows = self.shape[0]
        first = int(np.clip(top / self.dz, 0, rows - 4))
        last = int(np.clip(np.ceil(bottom / self.dz), first + 4, rows))
        return slice(first, last), self.rows(slice(first, last))

    def rows(self, part: slice) -> Grid:
        """A grid of some rows alone."""
        return replace(self, z=self.z[part], x=self.x[part], depth=len(self.z[part]) * self.dz)


@dataclass(frozen=True, slots=True)
class Scanner:
    """Settings of one simulated scanner, in mm, MHz and dB."""

    depth: float
    width: float
    frequency: float
    pulse: float  # axial standard deviation
    beam: float  # lateral standard deviation at the focus
    focus: float
    focal_zone: float
    fan: float  # lateral spread of the lines per mm of depth; 0 is a linear array
    clutter: float  # side lobes and reverberation, dB against the tissue within a few mm
    noise: float  # electronic noise against a 0 dB tissue at the surface
    tgc: float  # dB/cm/MHz the time-gain compensation assumes
    gain: float
    dynamic_range: float
    gamma: float
    smoothing: float  # pixels
    looks: int  # compounded frames
    contact: tuple[float, float]  # dB lost under the left and right edge of the probe
    border: tuple[float, float]  # share of the picture that is black at the sides and at the bottom


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """A plausible breast scanner: 7–14 MHz, 26–46 mm deep (all ranges in docs/explanation/phantoms.md)."""
    depth = float(rng.uniform(26, 46))
    frequency = float(np.clip(14.5 - 0.12 * depth + rng.normal(0, 1.2), 7, 14))
    wavelength = 1.54 / frequency
    edges = np.where(rng.random(2) < 0.2, rng.uniform(6, 22, 2), 0.0)
    border = np.where(rng.random(2) < 0.12, rng.uniform(0.01, 0.04, 2), 0.0)
    return Scanner(
        depth=depth,
        width=depth * float(rng.uniform(0.9, 1.3)),
        frequency=frequency,
        pulse=wavelength * float(rng.uniform(0.45, 0.7)),
        beam=wavelength * float(rng.uniform(0.9, 1.4)),
        focus=depth * float(rng.uniform(0.3, 0.6)),
        focal_zone=depth * float(rng.uniform(0.4, 0.8)),
        fan=float(rng.uniform(0.002, 0.006)) if rng.random() < 0.2 else 0.0,
        clutter=float(rng.uniform(-38, -24)),
        noise=float(rng.uniform(-66, -56)),
        tgc=float(rng.uniform(0.44, 0.66)),
        gain=float(rng.uniform(-6, 5)),
        dynamic_range=float(rng.uniform(50, 70)),
        gamma=float(rng.uniform(0.85, 1.35)),
        smoothing=float(rng.uniform(0.3, 0.85)),
        looks=int(rng.choice([1, 2, 3], p=[0.2, 0.55, 0.25])),
        contact=(float(edges[0]), float(edges[1])),
        border=(float(border[0]), float(border[1])),
    )


def beam_grid(scanner: Scanner, size: int) -> Grid:
    """The grid echoes are computed on: 2·size depths × size lines."""
    return _grid(scanner, size * OVERSAMPLE, size, scanner.fan)


def image_grid(scanner: Scanner, size: int) -> Grid:
    """Centres of the picture's pixels, size × size."""
    return _grid(scanner, size, size, 0.0)


def _grid(scanner: Scanner, rows: int, columns: int, fan: float) -> Grid:
    dz, dx = scanner.depth / rows, scanner.width / columns
    z = ((np.arange(rows) + 0.5) * dz).astype(np.float32)[:, None]
    line = ((np.arange(columns) + 0.5) * dx - scanner.width / 2).astype(np.float32)[None, :]
    # The fan is tied to the bottom row: lines fill the picture there and leave black corners above.
    x = line * (1 + fan * (z - scanner.depth)) if fan else np.broadcast_to(line, (rows, columns))
    return Grid(z, x.astype(np.float32), dz, dx, scanner.depth, scanner.width)


def field(rng: np.random.Generator, grid: Grid, length: tuple[float, float]) -> FloatArray:
    """Smooth Gaussian noise, mean 0 and variance 1, with knots ``length`` mm apart (depth, lateral)."""
    rows = _spline(grid.shape[0], _knots(grid.depth, length[0]))
    columns = _spline(grid.shape[1], _knots(grid.width, length[1]))
    knots = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    # A cubic B-spline's mean power is 151/315 per axis: its root over two axes is this deviation.
    return spread(knots / np.float32(151 / 315), rows, columns)


def curve(rng: np.random.Generator, grid: Grid, length: float) -> FloatArray:
    """Smooth noise along the scan lines, 1×m, mean 0 and variance 1."""
    basis = _spline(grid.shape[1], _knots(grid.width, length))
    knots = rng.standard_normal(basis.shape[1], dtype=np.float32) / np.float32(np.sqrt(151 / 315))
    line: FloatArray = (basis @ knots)[None, :]
    return line


def spread(coarse: FloatArray, rows: csr_array, columns: csr_array) -> FloatArray:
    """Interpolate ``coarse`` along both axes with sparse weights.

    Sparse because the weights are few, and because dense products would start BLAS threads for this little
    work, which is ten times slower on a busy machine.
    """
    wide = np.ascontiguousarray((columns @ np.ascontiguousarray(coarse.T)).T)
    full: FloatArray = rows @ wide
    return full


def _knots(extent: float, length: float) -> int:
    return max(1, round(extent / length))


@lru_cache(maxsize=256)
def _spline(samples: int, cells: int) -> csr_array:
    """Uniform cubic B-spline weights, samples × (cells + 3)."""
    place = (np.arange(samples) + 0.5) / samples * cells
    first = np.minimum(place.astype(np.int32), cells - 1)
    t = place - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    return sparse_rows(weights, first, cells + 3)


def sparse_rows(weights: NDArray[np.float64], first: NDArray[np.int32], columns: int) -> csr_array:
    """A matrix whose row i holds ``weights[i]`` from column ``first[i]`` on."""
    count, each = weights.shape
    places = (first[:, None] + np.arange(each, dtype=np.int32)).ravel()
    starts = np.arange(0, count * each + 1, each, dtype=np.int32)
    return csr_array((weights.astype(np.float32).ravel(), places, starts), shape=(count, columns))

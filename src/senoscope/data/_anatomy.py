"""A breast without lesion: skin, fat lobules, gland, septa, retromammary fat, muscle, ribs.

Maps are built on a beam grid, each layer only on the rows it may reach. Echo levels are dB against gland,
attenuations dB/cm/MHz (fat about 0.5, gland 0.75, muscle 0.9, skin 1.6: Duck 1990; Szabo 2014, appendix B).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from senoscope.data._acoustics import Tissue
from senoscope.data._scanner import Grid, curve, field, sparse_rows, spread
from senoscope.schema import FloatArray


@dataclass(frozen=True, slots=True)
class Layers:
    """Depths in mm along the scan lines, 1×m each: lower faces of skin, fat and gland, the muscle's two faces."""

    skin: FloatArray
    fat: FloatArray
    gland: FloatArray
    muscle: FloatArray
    chest: FloatArray


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Lobules: mm to the nearest ``wall``, a random ``level`` (0..1) each, the wall's cosine to the beam."""

    wall: FloatArray
    level: FloatArray
    facing: FloatArray


def build(rng: np.random.Generator, grid: Grid) -> tuple[Tissue, Layers]:
    """Draw one breast."""
    layers = _layers(rng, grid)
    bend = field(rng, grid, (10, 12)) * np.float32(rng.uniform(0.4, 1.2))
    tissue = _fat(rng, grid, bend)
    _gland(rng, grid, layers, bend, tissue)
    _muscle(rng, grid, layers, bend, tissue)
    _skin(rng, grid, layers, tissue)
    # Tissue is uneven: faint streaks along the beam.
    tissue.loss[...] *= np.clip(1 + np.float32(0.3) * field(rng, grid, (9, 5)), 0.3, 2)
    return tissue, layers


def _layers(rng: np.random.Generator, grid: Grid) -> Layers:
    depth = grid.depth
    skin = rng.uniform(0.9, 2.4) + rng.uniform(0.05, 0.3) * curve(rng, grid, 9)
    top = depth * rng.uniform(0.12, 0.42)
    # Ligaments pull the gland up into cusps between the fat lobules.
    phase = np.linspace(0, rng.uniform(1, 3.5), grid.shape[1])[None, :] + 0.45 * curve(rng, grid, 8)
    rise = rng.uniform(0.3, 2.2) * np.clip(1 + 0.6 * curve(rng, grid, 8), 0, 2)
    cusps = rise * np.abs(np.sin(np.pi * (phase + rng.random()))) + 0.25 * curve(rng, grid, 2)
    fat = np.maximum(top + cusps + rng.uniform(0.3, 1.5) * curve(rng, grid, 10), skin + 1.0)
    gland = np.maximum(
        depth * rng.uniform(0.55, 0.78) + rng.uniform(0.4, 1.5) * curve(rng, grid, 14), fat + 2.0
    )
    tilt = rng.normal(0, 0.06) * np.linspace(-0.5, 0.5, grid.shape[1])[None, :] * grid.width
    muscle = gland + rng.uniform(0.5, 4.0) + 0.5 * np.abs(curve(rng, grid, 12)) + tilt
    muscle = np.maximum(muscle, gland + 0.3)
    chest = muscle + rng.uniform(5, 13) + 0.8 * curve(rng, grid, 14)
    return Layers(*(part.astype(np.float32) for part in (skin, fat, gland, muscle, chest)))


def mosaic(rng: np.random.Generator, grid: Grid, bend: FloatArray, size: tuple[float, float]) -> Mosaic:
    """Voronoi lobules about ``size`` mm (depth, lateral), their walls bent by ``bend`` mm."""
    step = (4 if grid.dz < 0.15 else 2, 2)
    ripple = field(rng, grid, (2.2, 2.2)) * np.float32(0.12 * size[0])
    line = np.linspace(-grid.width / 2, grid.width / 2, grid.shape[1], dtype=np.float32)[None, :]
    z = (grid.z - grid.z[0, 0] + bend + ripple)[:: step[0], :: step[1]] / np.float32(size[0])
    x = (line + np.float32(1.5) * ripple[::-1])[:: step[0], :: step[1]] / np.float32(size[1])
    places = _lattice(rng, grid.depth / size[0], grid.width / size[1])
    nearest, second, owner = _two_nearest(z, x.astype(np.float32, copy=False), places)
    wall = (np.sqrt(second) - np.sqrt(nearest)) * np.float32(0.5 * size[0])
    down, across = np.gradient(wall, step[0] * grid.dz, step[1] * grid.dx)
    facing = np.abs(down) / (np.sqrt(down**2 + across**2) + np.float32(1e-3))
    level = rng.random(len(places), dtype=np.float32)[owner]
    return Mosaic(*(_enlarge(part, grid.shape, step) for part in (wall, level, facing)))


def _lattice(rng: np.random.Generator, down: float, across: float) -> FloatArray:
    """At most 256 jittered lattice points over ``down`` × ``across`` cells and a rim: no two coincide."""
    crowd = max(1.0, np.sqrt((down + 3) * (across + 3) / 255))
    rows, columns = int(np.ceil(down / crowd)) + 2, int(np.ceil(across / crowd)) + 2
    row, column = np.divmod(np.arange(rows * columns), columns)
    places = np.stack([row - 0.5, column + 0.5 * (row % 2) - columns / 2], axis=1)
    places += rng.uniform(-0.4, 0.4, places.shape)
    lattice: FloatArray = (places[:256] * crowd).astype(np.float32)
    return lattice


def _two_nearest(
    z: FloatArray, x: FloatArray, places: FloatArray
) -> tuple[FloatArray, FloatArray, NDArray[np.int32]]:
    """Squared distances to the nearest and second nearest of at most 256 places, and the nearest's number.

    The number rides in the distance's lowest eight bits: non-negative floats sort like their bit patterns,
    and comparing integers is many times quicker than selecting by a mask.
    """
    nearest = np.full(z.shape, np.iinfo(np.int32).max, np.int32)
    second = nearest.copy()
    for number, (down, across) in enumerate(places):
        distance = ((z - down) ** 2 + (x - across) ** 2).view(np.int32)
        distance &= -256
        distance |= number
        np.minimum(second, np.maximum(nearest, distance), out=second)
        np.minimum(nearest, distance, out=nearest)
    return nearest.view(np.float32), second.view(np.float32), nearest & 255


def _enlarge(coarse: FloatArray, shape: tuple[int, int], step: tuple[int, int]) -> FloatArray:
    """Linear interpolation of every ``step``-th sample back to ``shape``."""
    return spread(
        coarse, _linear(shape[0], coarse.shape[0], step[0]), _linear(shape[1], coarse.shape[1], step[1])
    )


@lru_cache(maxsize=256)
def _linear(count: int, knots: int, step: int) -> csr_array:
    place = np.minimum(np.arange(count) / step, knots - 1)
    first = np.minimum(place.astype(np.int32), knots - 2)
    share = place - first
    return sparse_rows(np.stack([1 - share, share], axis=1), first, knots)


def _ridge(distance: FloatArray, width: float) -> FloatArray:
    ridge: FloatArray = np.exp(-((distance / np.float32(width)) ** 2))
    return ridge


def _weight(depth: FloatArray) -> FloatArray:
    """0 above a face, 1 below it, with a transition of 0.15 mm; ``depth`` in mm below the face."""
    weight: FloatArray = np.clip(depth * np.float32(1 / 0.15) + np.float32(0.5), 0, 1)
    return weight


def _mix(target: FloatArray, value: FloatArray | float, weight: FloatArray) -> None:
    """Blend ``value`` into ``target`` in place."""
    target += (value - target) * weight


def _fat(rng: np.random.Generator, grid: Grid, bend: FloatArray) -> Tissue:
    """Fat everywhere: grey lobules between thin septa."""
    lobules = mosaic(rng, grid, bend * np.float32(1.5), (rng.uniform(3.5, 7), rng.uniform(7, 14)))
    echo = np.float32(rng.uniform(-16, -11)) + np.float32(2.5) * lobules.level
    echo += np.float32(1.2) * field(rng, grid, (1.2, 2.5))
    patchy = np.clip(np.float32(0.35) + np.float32(0.6) * field(rng, grid, (3, 3)), 0, 1.6)
    septa = _ridge(lobules.wall, 0.1) * patchy
    mirror = septa * (np.float32(0.1) + lobules.facing**2) * np.float32(rng.uniform(0.6, 1.8))
    strands = _bent(field(rng, grid, (0.35, rng.uniform(1.5, 3))), grid, 2 * bend)
    mirror += np.float32(rng.uniform(0.1, 0.9)) * np.clip(strands - np.float32(1.5), 0, 2)
    return Tissue(echo, mirror, np.float32(0.5) + septa)


def _gland(rng: np.random.Generator, grid: Grid, layers: Layers, bend: FloatArray, tissue: Tissue) -> None:
    """Bright wavy fibres, islands of fat, sometimes a duct."""
    rows, part = grid.band(float(layers.fat.min()) - 1, float(layers.gland.max()) + 1)
    bend = bend[rows] * 2
    echo, mirror, loss = tissue.echo[rows], tissue.mirror[rows], tissue.loss[rows]
    islands = mosaic(rng, part, bend, (rng.uniform(1.2, 3.0), rng.uniform(3.5, 9)))
    fibres = _bent(field(rng, part, (0.38, rng.uniform(1.8, 4.5))), part, bend)
    clouds = field(rng, part, (5, 6))
    bright = np.float32(rng.uniform(1, 3)) * clouds + np.float32(rng.uniform(2, 4.5)) * fibres
    dull = echo + np.float32(rng.uniform(-1, 2)) + np.float32(1.5) * fibres
    fatty = (islands.level < rng.uniform(0.1, 0.6)).astype(np.float32)
    fatty *= np.clip(islands.wall * 2, 0, 1)  # islands have soft sides
    _mix(bright, dull, fatty)
    patchy = np.clip(np.float32(0.4) + np.float32(0.6) * clouds, 0, 1.4)
    walls = _ridge(islands.wall, 0.12) * islands.facing * patchy
    lines = np.float32(0.7) * walls + np.float32(0.8) * np.clip(fibres - np.float32(1.2), 0, 2)
    inside = _weight(part.z - layers.fat) * _weight(layers.gland - part.z)
    _mix(echo, bright, inside)
    _mix(mirror, lines * np.float32(rng.uniform(0.5, 1.8)), inside)
    _mix(loss, np.float32(0.74) - np.float32(0.2) * fatty + np.float32(0.4) * walls, inside)
    uneven = np.clip(0.3 + 0.6 * curve(rng, part, 4), 0, 2) * np.float32(rng.uniform(0.5, 1.4))
    mirror += _ridge(part.z - layers.fat, 0.12) * uneven
    if rng.random() < 0.35:
        _duct(rng, part, layers, echo, mirror)


def _duct(rng: np.random.Generator, part: Grid, layers: Layers, echo: FloatArray, mirror: FloatArray) -> None:
    """A thin dark tube, longer than any lesion is: nothing to outline."""
    share = np.float32(rng.uniform(0.25, 0.75))
    centre = layers.fat + share * (layers.gland - layers.fat) + np.float32(0.7) * curve(rng, part, 6)
    radius = np.float32(rng.uniform(0.25, 0.6)) * np.clip(1 + 0.5 * curve(rng, part, 4), 0.1, 2)
    outside = np.abs(part.z - centre) - radius
    within = _weight(-outside)
    echo -= 12 * within
    mirror *= 1 - np.float32(0.9) * within
    mirror += np.float32(0.5) * _ridge(outside, 0.12)


def _muscle(rng: np.random.Generator, grid: Grid, layers: Layers, bend: FloatArray, tissue: Tissue) -> None:
    """Striated muscle below a bright fascia, then the chest wall with or without ribs."""
    rows, part = grid.band(float(layers.muscle.min()) - 1, grid.depth)
    echo, mirror, loss = tissue.echo[rows], tissue.mirror[rows], tissue.loss[rows]
    slide = layers.muscle - layers.muscle.min() + np.float32(0.5) * bend[rows]
    striae = _bent(field(rng, part, (0.32, rng.uniform(3.5, 8))), part, slide)
    inside = _weight(part.z - layers.muscle)
    _mix(echo, np.float32(rng.uniform(-17, -11)) + np.float32(2.8) * striae, inside)
    _mix(mirror, np.float32(rng.uniform(0.2, 0.8)) * np.clip(striae - np.float32(1.3), 0, 2), inside)
    _mix(loss, 0.9, inside)
    uneven = np.clip(0.8 + 0.6 * curve(rng, part, 5), 0.1, 2) * np.float32(rng.uniform(0.6, 1.6))
    mirror += _ridge(part.z - layers.muscle, 0.14) * uneven
    uneven = np.clip(0.8 + 0.5 * curve(rng, part, 6), 0.1, 2) * np.float32(rng.uniform(0.5, 1.8))
    if rng.random() < 0.5:  # ribs and pleura: a bright face with nothing but reverberation behind it
        below = _weight(part.z - layers.chest)
        _mix(echo, -30.0, below)
        _mix(loss, 1.4, below)
        mirror *= 1 - np.float32(0.85) * below
    mirror += _ridge(part.z - layers.chest, 0.2) * uneven


def _skin(rng: np.random.Generator, grid: Grid, layers: Layers, tissue: Tissue) -> None:
    """Gel and probe face, dermis, and the face to the fat."""
    rows, part = grid.band(0, float(layers.skin.max()) + 0.6)
    echo, mirror, loss = tissue.echo[rows], tissue.mirror[rows], tissue.loss[rows]
    gel = np.float32(rng.uniform(-0.1, 0.5))
    inside = _weight(layers.skin - part.z)
    _mix(echo, np.float32(rng.uniform(-11, -1)) + 2 * field(rng, part, (0.4, 3)), inside)
    _mix(echo, -25.0, _weight(gel - part.z))
    _mix(loss, 1.6, inside)
    mirror *= 1 - inside
    mirror += np.float32(rng.uniform(0.4, 2)) * _ridge(part.z - gel, 0.12)
    face = np.clip(0.6 + 0.5 * curve(rng, part, 5), 0.05, 2) * np.float32(rng.uniform(0.5, 1.5))
    mirror += face * _ridge(part.z - layers.skin, 0.12)


def _bent(texture: FloatArray, grid: Grid, bend: FloatArray) -> FloatArray:
    """``texture`` moved down by ``bend`` mm, wrapping round."""
    rows, columns = texture.shape
    source = np.arange(rows, dtype=np.int64)[:, None] - np.rint(bend * np.float32(1 / grid.dz)).astype(
        np.int64
    )
    source %= rows
    moved: FloatArray = texture.ravel().take(source * columns + np.arange(columns))
    return moved

"""A breast without lesion: skin, fat lobules, gland, septa, retromammary fat, muscle, ribs.

Maps are built on a beam grid (see ``_acoustics``). Echo levels are dB against gland, attenuations dB/cm/MHz
(fat ≈ 0.5, gland ≈ 0.8, muscle ≈ 1, skin ≈ 1.8: Szabo 2014, appendix B; Duck 1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from senoscope.data._acoustics import Grid, Tissue, curve, field
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
    echo, mirror, loss = _fat(rng, grid, bend)
    _gland(rng, grid, layers, bend, echo, mirror, loss)
    _muscle(rng, grid, layers, bend, echo, mirror, loss)
    _skin(rng, grid, layers, echo, mirror, loss)
    loss *= np.clip(
        1 + 0.3 * field(rng, grid, (9, 5)), 0.3, 2
    )  # tissue is uneven: faint streaks along the beam
    return Tissue(echo, mirror, loss), layers


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
        depth * rng.uniform(0.55, 0.78) + rng.uniform(0.5, 2.0) * curve(rng, grid, 14), fat + 2.0
    )
    tilt = rng.normal(0, 0.06) * np.linspace(-0.5, 0.5, grid.shape[1])[None, :] * grid.width
    muscle = gland + rng.uniform(0.5, 4.0) + 0.5 * np.abs(curve(rng, grid, 12)) + tilt
    muscle = np.maximum(muscle, gland + 0.3)
    chest = muscle + rng.uniform(5, 13) + 0.8 * curve(rng, grid, 14)
    return Layers(*(part.astype(np.float32) for part in (skin, fat, gland, muscle, chest)))


def mosaic(rng: np.random.Generator, grid: Grid, bend: FloatArray, size: tuple[float, float]) -> Mosaic:
    """Voronoi lobules about ``size`` mm (depth, lateral), their walls bent by ``bend`` mm."""
    step = (max(1, grid.shape[0] // 128), max(1, grid.shape[1] // 96))
    ripple = field(rng, grid, (2.2, 2.2)) * np.float32(0.12 * size[0])
    line = np.linspace(-grid.width / 2, grid.width / 2, grid.shape[1], dtype=np.float32)[None, :]
    z = ((grid.z + bend + ripple)[:: step[0], :: step[1]]) / np.float32(size[0])
    x = ((line + 1.5 * ripple[::-1])[:: step[0], :: step[1]]) / np.float32(size[1])
    half = grid.width / 2 / size[1] + 1
    count = int(np.clip((grid.depth / size[0] + 2) * 2 * half, 4, 160))
    places = rng.uniform((-1, -half), (grid.depth / size[0] + 1, half), (count, 2)).astype(np.float32)
    nearest = np.full(z.shape, np.inf, np.float32)
    second = nearest.copy()
    owner = np.zeros(z.shape, np.int32)
    for number, (down, across) in enumerate(places):
        distance = (z - down) ** 2 + (x - across) ** 2
        np.copyto(owner, number, where=distance < nearest)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    wall = (np.sqrt(second) - np.sqrt(nearest)) * np.float32(0.5 * size[0])
    down, across = np.gradient(wall, step[0] * grid.dz, step[1] * grid.dx)
    facing = np.abs(down) / (np.hypot(down, across) + np.float32(1e-3))
    level = rng.random(count, dtype=np.float32)[owner]
    return Mosaic(*(_enlarge(part, grid.shape, step) for part in (wall, level, facing)))


def _enlarge(coarse: FloatArray, shape: tuple[int, int], step: tuple[int, int]) -> FloatArray:
    """Linear interpolation of every ``step``-th sample back to ``shape``."""
    rows = _hat_basis(shape[0], coarse.shape[0], step[0])
    columns = _hat_basis(shape[1], coarse.shape[1], step[1])
    return (rows @ coarse @ columns.T).astype(np.float32, copy=False)


@lru_cache(maxsize=32)
def _hat_basis(count: int, knots: int, step: int) -> FloatArray:
    place = np.minimum(np.arange(count) / step, knots - 1)
    basis: FloatArray = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(knots))).astype(np.float32)
    return basis


def _ridge(distance: FloatArray, width: float) -> FloatArray:
    ridge: FloatArray = np.exp(-((distance / np.float32(width)) ** 2))
    return ridge


def _fat(rng: np.random.Generator, grid: Grid, bend: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fat everywhere: grey lobules between thin septa."""
    lobules = mosaic(rng, grid, bend * 1.5, (rng.uniform(3.5, 7), rng.uniform(7, 14)))
    base = np.float32(rng.uniform(-15, -10))
    echo = base + 2.5 * (lobules.level - 0.5) + 1.2 * field(rng, grid, (1.2, 2.5))
    patchy = np.clip(0.35 + 0.6 * field(rng, grid, (3, 3)), 0, 1.6)
    septa = _ridge(lobules.wall, 0.1) * patchy
    mirror = septa * (0.1 + lobules.facing**2) * np.float32(rng.uniform(0.6, 1.8))
    strands = np.clip(_bent(field(rng, grid, (0.35, rng.uniform(1.5, 3))), grid, 2 * bend) - 1.5, 0, 2)
    mirror += np.float32(rng.uniform(0.1, 0.9)) * strands
    return echo.astype(np.float32), mirror, (0.5 + 1.0 * septa).astype(np.float32)


def _gland(
    rng: np.random.Generator,
    grid: Grid,
    layers: Layers,
    bend: FloatArray,
    echo: FloatArray,
    mirror: FloatArray,
    loss: FloatArray,
) -> None:
    """Bright wavy fibres, islands of fat, sometimes ducts."""
    inside = (grid.z > layers.fat) & (grid.z < layers.gland)
    islands = mosaic(rng, grid, bend * 2, (rng.uniform(1.2, 3.0), rng.uniform(3.5, 9)))
    fatty = islands.level < rng.uniform(0.1, 0.6)
    fibres = _bent(field(rng, grid, (0.38, rng.uniform(1.8, 4.5))), grid, bend * 2)
    clouds = field(rng, grid, (5, 6))
    bright = rng.uniform(1, 3) * clouds + rng.uniform(2, 4.5) * fibres
    dull = echo + rng.uniform(-1, 2) + 1.5 * fibres
    core = np.clip(islands.wall / np.float32(0.5), 0, 1)  # islands have soft sides
    level = np.where(fatty, bright + (dull - bright) * core, bright)
    echo[inside] = level[inside]
    walls = _ridge(islands.wall, 0.12) * islands.facing * np.clip(0.4 + 0.6 * clouds, 0, 1.4)
    lines = (0.7 * walls + 0.8 * np.clip(fibres - 1.2, 0, 2)) * np.float32(rng.uniform(0.5, 1.8))
    mirror[inside] = lines[inside]
    loss[inside] = np.where(fatty, np.float32(0.55), np.float32(0.72) + 0.4 * walls)[inside]
    edge = _ridge(grid.z - layers.fat, 0.12) * np.clip(0.3 + 0.6 * curve(rng, grid, 4), 0, 2)
    mirror += edge * np.float32(rng.uniform(0.5, 1.4))
    if rng.random() < 0.35:
        _ducts(rng, grid, layers, echo, mirror)


def _ducts(
    rng: np.random.Generator, grid: Grid, layers: Layers, echo: FloatArray, mirror: FloatArray
) -> None:
    """A thin dark tube or two, longer than any lesion is: nothing to outline."""
    share = rng.uniform(0.25, 0.75)
    centre = layers.fat + share * (layers.gland - layers.fat) + 0.7 * curve(rng, grid, 6)
    radius = rng.uniform(0.25, 0.6) * np.clip(1 + 0.5 * curve(rng, grid, 4), 0.1, 2)
    off = np.abs(grid.z - centre)
    echo[off < radius] -= np.float32(12)
    mirror *= 1 - 0.9 * (off < radius)
    mirror += 0.5 * _ridge(off - radius, 0.12)


def _muscle(
    rng: np.random.Generator,
    grid: Grid,
    layers: Layers,
    bend: FloatArray,
    echo: FloatArray,
    mirror: FloatArray,
    loss: FloatArray,
) -> None:
    """Striated muscle below a bright fascia, then the chest wall with or without ribs."""
    inside = grid.z > layers.muscle
    striae = _bent(field(rng, grid, (0.32, rng.uniform(3.5, 8))), grid, layers.muscle + 0.5 * bend)
    echo[inside] = (np.float32(rng.uniform(-17, -11)) + 2.8 * striae)[inside]
    mirror[inside] = (np.float32(rng.uniform(0.2, 0.8)) * np.clip(striae - 1.3, 0, 2))[inside]
    loss[inside] = 0.9
    fascia = _ridge(grid.z - layers.muscle, 0.14) * np.clip(0.8 + 0.6 * curve(rng, grid, 5), 0.1, 2)
    mirror += fascia * np.float32(rng.uniform(0.6, 1.6))
    below = grid.z > layers.chest
    wall = _ridge(grid.z - layers.chest, 0.2) * np.clip(0.8 + 0.5 * curve(rng, grid, 6), 0.1, 2)
    if rng.random() < 0.5:  # ribs and pleura: a bright face with nothing but reverberation behind it
        echo[below] = -30
        mirror[below] *= 0.15
        loss[below] = 1.4
    mirror += wall * np.float32(rng.uniform(0.5, 1.8))


def _skin(
    rng: np.random.Generator,
    grid: Grid,
    layers: Layers,
    echo: FloatArray,
    mirror: FloatArray,
    loss: FloatArray,
) -> None:
    """Gel and probe face, epidermis, dermis, and the face to the fat."""
    gel = np.float32(rng.uniform(-0.1, 0.5))
    inside = grid.z < layers.skin
    dermis = np.float32(rng.uniform(-11, -1)) + 2 * field(rng, grid, (0.4, 3))
    echo[inside] = dermis[inside]
    echo[(grid.z < gel)[:, 0]] = -25
    mirror[inside] = 0
    mirror += np.float32(rng.uniform(0.4, 2)) * _ridge(grid.z - gel, 0.12)
    face = np.clip(0.6 + 0.5 * curve(rng, grid, 5), 0.05, 2) * np.float32(rng.uniform(0.5, 1.5))
    mirror += face * _ridge(grid.z - layers.skin, 0.12)
    loss[inside] = 1.6


def _bent(texture: FloatArray, grid: Grid, bend: FloatArray) -> FloatArray:
    """``texture`` moved down by ``bend`` mm, wrapping round."""
    rows = np.arange(texture.shape[0], dtype=np.int32)[:, None] - np.rint(bend / grid.dz).astype(np.int32)
    return np.take_along_axis(texture, np.broadcast_to(rows % texture.shape[0], texture.shape), axis=0)

"""The kinds of lesion and where they grow.

Benign: mostly oval, smooth and wider than tall. Malignant: irregular, often taller than wide, with a halo and a
shadow. No single feature tells them apart: some benign ones shadow or have no capsule, some malignant ones are
round, sharp or enhancing (the ACR BI-RADS atlas's words for shape, margin, orientation and posterior features).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from senoscope.data._anatomy import Layers
from senoscope.data._lesions import ANGLES, Lesion, waves
from senoscope.data._scanner import Grid
from senoscope.schema import FloatArray


def draw_lesion(rng: np.random.Generator, label: str, grid: Grid, layers: Layers) -> Lesion:
    """A lesion of ``label`` (benign or malignant) placed where it fits."""
    if label == "benign":
        kind = str(rng.choice(["cyst", "fibroadenoma", "dense"], p=[0.3, 0.58, 0.12]))
    else:
        kind = str(rng.choice(["spiculated", "angular", "bulky"], p=[0.45, 0.37, 0.18]))
    lesion = _KINDS[kind](rng, _half_width(rng, label, grid))
    return _place(rng, lesion, grid, layers)


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
        outline=1 + waves(rng, range(2, 5), float(rng.uniform(0.01, 0.05)), 1.5),
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
        + waves(
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
        outline=1 + waves(rng, range(2, 6), float(rng.uniform(0.03, 0.07)), 0.8),
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
        outline=0.9 + waves(rng, range(2, 7), float(rng.uniform(0.05, 0.1)), 0.7) + spikes,
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
        outline=_corners(rng) + waves(rng, range(6, 26), float(rng.uniform(0.02, 0.055)), 0.7),
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
        + waves(rng, range(2, 6), float(rng.uniform(0.04, 0.08)), 0.6)
        + waves(rng, range(6, 22), float(rng.uniform(0.03, 0.055)), 0.6),
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

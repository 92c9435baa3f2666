"""How tissue becomes a B-mode picture: scatterers, beam, attenuation, noise, compression.

Everything works on a beam grid: rows are depths, columns are scan lines, lengths are in mm. The pulse is a
Gaussian modulated at the centre frequency; after demodulation its complex envelope is a real Gaussian and the
scatterers' sub-wavelength positions are the random phases of their complex reflectivity, so that an area with
many scatterers per resolution cell gives fully developed speckle (Wagner et al. 1983).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from senoscope.schema import FloatArray

OVERSAMPLE = 2
"""Depth samples per image row: the envelope is detected before it is thinned to the picture's rows."""
HEADROOM = 20
"""dB between gland at gain 0 and white."""


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


@dataclass(frozen=True, slots=True)
class Tissue:
    """Maps on a beam grid, n×m each.

    ``echo`` is the diffuse backscatter in dB against gland, ``mirror`` the amplitude of coherent reflectors
    (linear), ``loss`` the attenuation in dB/cm/MHz.
    """

    echo: FloatArray
    mirror: FloatArray
    loss: FloatArray


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
    rows = spline_basis(grid.shape[0], _knots(grid.depth, length[0]))
    columns = spline_basis(grid.shape[1], _knots(grid.width, length[1]))
    knots = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    noise = (rows @ knots @ columns.T).astype(np.float32, copy=False)
    noise /= np.float32(151 / 315)  # a cubic B-spline's mean power per axis, so the deviation over two axes
    return noise


def curve(rng: np.random.Generator, grid: Grid, length: float) -> FloatArray:
    """Smooth noise along the scan lines, 1×m, mean 0 and variance 1."""
    basis = spline_basis(grid.shape[1], _knots(grid.width, length))
    return (basis @ rng.standard_normal(basis.shape[1], dtype=np.float32) / np.float32(0.692))[None, :]


def _knots(extent: float, length: float) -> int:
    return max(1, round(extent / length))


@lru_cache(maxsize=256)
def spline_basis(samples: int, cells: int) -> FloatArray:
    """Uniform cubic B-spline weights, samples × (cells + 3)."""
    place = (np.arange(samples) + 0.5) / samples * cells
    first = np.minimum(place.astype(int), cells - 1)
    t = place - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    basis = np.zeros((samples, cells + 3), np.float32)
    np.put_along_axis(basis, first[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
    return basis


def path_loss(loss: FloatArray, scanner: Scanner, grid: Grid) -> FloatArray:
    """Two-way attenuation in dB down to each sample: 2 f ∫ α dz along the line (Szabo 2014, ch. 4).

    The spectrum's centre sinks on the way, so ``f`` is taken at 0.75 of the transmitted frequency. The beam
    is wide above its focus and blurs what it passes through: shadows and enhancement have soft sides.
    """
    summed = np.cumsum(loss, axis=0, dtype=np.float32) * np.float32(
        2 * 0.75 * scanner.frequency * grid.dz / 10
    )
    blurred: FloatArray = ndimage.gaussian_filter1d(
        summed, 0.35 / grid.dx, axis=1, mode="nearest", truncate=3
    )
    return blurred


def speckle(
    rng: np.random.Generator,
    diffuse: FloatArray,
    mirror: FloatArray,
    noise: float,
    scanner: Scanner,
    grid: Grid,
) -> FloatArray:
    """Detected envelope (linear) of tissue with the given diffuse and coherent amplitudes.

    The point-spread function is separable: laterally a Gaussian whose width follows the focus, row by row and
    exact (a product in the lateral Fourier domain), axially the demodulated pulse. Both have unit energy: a
    homogeneous area of amplitude 1 has an envelope of mean square 2 and Rayleigh distribution.
    """
    scatter = complex_normal(rng, diffuse.shape)
    scatter *= diffuse + mirror
    scatter += np.float32(0.8) * mirror
    signal = fft.ifft(fft.fft(scatter, axis=1, overwrite_x=True) * lateral_response(scanner, grid), axis=1)
    signal += np.float32(noise) * complex_normal(rng, diffuse.shape)
    pulse = gaussian_kernel(scanner.pulse / grid.dz)
    envelope: FloatArray = np.abs(ndimage.convolve1d(signal, pulse, axis=0, mode="reflect"))
    return envelope


@lru_cache(maxsize=2)
def _frequencies(columns: int) -> FloatArray:
    return np.fft.fftfreq(columns).astype(np.float32)[None, :]


def lateral_response(scanner: Scanner, grid: Grid) -> FloatArray:
    """The beam's transfer function across the lines, one row per depth, unit energy."""
    beam = scanner.beam * np.sqrt(1 + ((grid.z - scanner.focus) / scanner.focal_zone) ** 2) / grid.dx
    response: FloatArray = np.exp(-2 * (np.pi * beam * _frequencies(grid.shape[1])) ** 2).astype(np.float32)
    response /= np.sqrt(np.mean(response**2, axis=1, keepdims=True))
    return response


def complex_normal(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Circular complex Gaussian noise, variance 1 per part, picked from a table of 65,536 for speed."""
    noise: NDArray[np.complex64] = _normal_table()[rng.integers(0, 1 << 16, shape, np.uint16)]
    return noise


@lru_cache(maxsize=1)
def _normal_table() -> NDArray[np.complex64]:
    parts = np.random.Generator(np.random.PCG64(1983)).standard_normal((1 << 16, 2), dtype=np.float32)
    parts -= parts.mean(axis=0)
    parts /= parts.std(axis=0)
    return np.ascontiguousarray(parts).view(np.complex64)[:, 0]


def gaussian_kernel(sigma: float) -> FloatArray:
    """Sampled Gaussian with unit energy (sum of squares 1)."""
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel: FloatArray = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    kernel /= np.sqrt(np.sum(kernel**2, dtype=np.float32))
    return kernel


def b_mode(rng: np.random.Generator, tissue: Tissue, scanner: Scanner, grid: Grid) -> NDArray[np.uint8]:
    """The picture a scanner shows of ``tissue``: uint8 size×size."""
    lost = path_loss(tissue.loss, scanner, grid) + _contact(scanner, grid)
    received = 10 ** (-lost / np.float32(20))
    diffuse = 10 ** (tissue.echo / np.float32(20)) * received
    diffuse = _with_clutter(diffuse, scanner, grid)
    mirror = tissue.mirror * received
    noise = 10 ** (scanner.noise / 20)
    power = sum(
        speckle(rng, diffuse, mirror, noise, scanner, grid) ** 2 for _ in range(scanner.looks)
    ) / np.float32(2 * scanner.looks)
    tgc = np.float32(2 * 0.75 * scanner.frequency * scanner.tgc / 10) * grid.z
    decibel = 10 * np.log10(power + np.float32(1e-12)) + tgc + np.float32(scanner.gain)
    return _display(decibel, scanner, grid)


def _with_clutter(diffuse: FloatArray, scanner: Scanner, grid: Grid) -> FloatArray:
    """Add what side lobes fetch from the surroundings: cysts are never quite black."""
    size = (int(2 / grid.dz), int(5 / grid.dx))
    power = diffuse**2
    stray = ndimage.uniform_filter(power, size, mode="nearest") * np.float32(10 ** (scanner.clutter / 10))
    mixed: FloatArray = np.sqrt(power + stray)
    return mixed


def _contact(scanner: Scanner, grid: Grid) -> FloatArray:
    """dB lost where the probe lifts off the skin, 1×m, strongest at the very edge."""
    place = np.linspace(0, 1, grid.shape[1], dtype=np.float32)[None, :]
    left, right = scanner.contact
    lost: FloatArray = np.float32(left) * np.exp(-((place / np.float32(0.12)) ** 2))
    lost += np.float32(right) * np.exp(-(((1 - place) / np.float32(0.12)) ** 2))
    return lost


def _display(decibel: FloatArray, scanner: Scanner, grid: Grid) -> NDArray[np.uint8]:
    """Log-compressed, thinned to rows, fanned out, smoothed, 8 bit. 0 dB is shown HEADROOM below white."""
    level = np.clip((decibel - HEADROOM) / np.float32(scanner.dynamic_range) + 1, 0, 1) ** np.float32(
        scanner.gamma
    )
    rows, columns = level.shape
    picture = level.reshape(rows // OVERSAMPLE, OVERSAMPLE, columns).mean(axis=1)
    if scanner.smoothing > 0:
        picture = ndimage.gaussian_filter(picture, scanner.smoothing, mode="nearest", truncate=3)
    if scanner.fan:
        picture = _scan_convert(picture, scanner)
    side, bottom = (round(share * columns) for share in scanner.border)
    if side:
        picture[:, :side] = picture[:, -side:] = 0
    if bottom:
        picture[-bottom:] = 0
    pixels: NDArray[np.uint8] = np.rint(picture * 255).astype(np.uint8)
    return pixels


def _scan_convert(picture: FloatArray, scanner: Scanner) -> FloatArray:
    rows, columns = picture.shape
    z = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) * np.float32(scanner.depth / rows)
    offset = np.arange(columns, dtype=np.float32)[None, :] - (columns - 1) / 2
    line = offset / (1 + np.float32(scanner.fan) * (z - scanner.depth)) + (columns - 1) / 2
    row = np.broadcast_to(np.arange(rows, dtype=np.float32)[:, None], line.shape)
    converted: FloatArray = ndimage.map_coordinates(picture, [row, line], order=1, mode="constant", cval=0.0)
    return converted

"""How tissue becomes a B-mode picture: scatterers, beam, attenuation, noise, compression.

The pulse is a Gaussian modulated at the centre frequency; after demodulation its complex envelope is a real
Gaussian and the scatterers' sub-wavelength positions are the random phases of their complex reflectivity, so
that an area with many scatterers per resolution cell gives fully developed speckle (Wagner et al. 1983).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from senoscope.data._scanner import OVERSAMPLE, Grid, Scanner
from senoscope.schema import FloatArray

HEADROOM = 20
"""dB between gland at gain 0 and white."""
SINKING = 0.75
"""Share of the transmitted frequency that is left on average: attenuation takes the upper part first."""
CLUTTER_CELL = (2.0, 5.0)
"""mm (depth, lateral) from which side lobes fetch clutter."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """Maps on a beam grid, n×m each.

    ``echo`` is the diffuse backscatter in dB against gland, ``mirror`` the amplitude of coherent reflectors
    (linear), ``loss`` the attenuation in dB/cm/MHz.
    """

    echo: FloatArray
    mirror: FloatArray
    loss: FloatArray


def path_loss(loss: FloatArray, scanner: Scanner, grid: Grid) -> FloatArray:
    """Two-way attenuation in dB down to each sample: 2 f ∫ α dz along the line (Szabo 2014, ch. 4).

    The beam is wide above its focus and blurs what it passes through: shadows have soft sides. Summed over
    every four rows (about 0.3 mm) and interpolated, for speed.
    """
    rows, columns = loss.shape
    every = 4
    padded = np.pad(loss, ((0, -rows % every), (0, 0)), mode="edge") if rows % every else loss
    blocks = padded.reshape(-1, every, columns).sum(axis=1)
    blurred = ndimage.gaussian_filter1d(blocks, 0.4 / grid.dx, axis=1, mode="nearest", truncate=3)
    edges = np.zeros((len(blocks) + 1, columns), np.float32)
    np.cumsum(blurred, axis=0, out=edges[1:])
    edges *= np.float32(_two_way(scanner) * grid.dz)
    low, high = edges[:-1, None], edges[1:, None]
    share = ((np.arange(every) + 0.5) / every).astype(np.float32)[None, :, None]
    return (low + (high - low) * share).reshape(-1, columns)[:rows]


def _two_way(scanner: Scanner) -> float:
    """DB per mm of depth for an attenuation of 1 dB/cm/MHz."""
    return 2 * SINKING * scanner.frequency / 10


def speckle(
    rng: np.random.Generator,
    diffuse: FloatArray,
    mirror: FloatArray,
    noise: float,
    scanner: Scanner,
    grid: Grid,
    looks: int = 1,
) -> FloatArray:
    """Detected intensity (squared envelope) of tissue with the given diffuse and coherent amplitudes.

    The point-spread function is separable: laterally a Gaussian whose width follows the focus, row by row
    and exact (a product in the lateral Fourier domain), axially the demodulated pulse. Both have unit energy:
    a homogeneous area of amplitude 1 has an intensity of mean 2 and an envelope of Rayleigh distribution.
    Several ``looks`` (independent frames, as in compounding) are averaged.
    """
    rows, columns = diffuse.shape
    lateral = lateral_response(scanner, grid)
    axial = pulse_response(scanner.pulse / grid.dz, rows)
    rough, smooth = diffuse + mirror, np.float32(0.8) * mirror
    intensity = np.zeros(diffuse.shape, np.float32)
    for _ in range(looks):
        scatter = np.zeros((rows, lateral.shape[1]), np.complex64)
        np.multiply(complex_normal(rng, diffuse.shape), rough, out=scatter[:, :columns])
        scatter[:, :columns] += smooth
        scatter = fft.fft(scatter, axis=1, overwrite_x=True)
        scatter *= lateral
        scatter = fft.ifft(scatter, axis=1, overwrite_x=True)
        signal = np.zeros((len(axial), columns), np.complex64)
        np.multiply(complex_normal(rng, diffuse.shape), np.float32(noise), out=signal[:rows])
        signal[:rows] += scatter[:, :columns]
        signal = fft.fft(signal, axis=0, overwrite_x=True)
        signal *= axial[:, None]
        signal = fft.ifft(signal, axis=0, overwrite_x=True)[:rows]
        intensity += signal.real**2
        intensity += signal.imag**2
    intensity /= np.float32(looks)
    return intensity


def lateral_response(scanner: Scanner, grid: Grid) -> FloatArray:
    """The beam's transfer function across the lines, one row per depth, unit energy, padded against wrapping."""
    beam = (scanner.beam / grid.dx) * np.sqrt(1 + ((grid.z - scanner.focus) / scanner.focal_zone) ** 2)
    columns = _padded(grid.shape[1], float(beam.max()))
    return _unit_energy(np.exp(-2 * (np.pi * beam * _frequencies(columns)) ** 2))


def pulse_response(sigma: float, rows: int) -> FloatArray:
    """The demodulated pulse's transfer function along the depth; ``sigma`` in samples."""
    frequencies = _frequencies(_padded(rows, sigma))
    response: FloatArray = _unit_energy(np.exp(-2 * (np.pi * np.float32(sigma) * frequencies) ** 2))[0]
    return response


def _unit_energy(response: FloatArray) -> FloatArray:
    scaled: FloatArray = response / np.sqrt(np.mean(response**2, axis=1, keepdims=True))
    return scaled


def _padded(samples: int, sigma: float) -> int:
    return int(fft.next_fast_len(samples + int(np.ceil(4 * sigma))))


@lru_cache(maxsize=64)
def _frequencies(samples: int) -> FloatArray:
    return np.fft.fftfreq(samples).astype(np.float32)[None, :]


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


def amplitude(decibel: FloatArray) -> FloatArray:
    """10^(dB/20)."""
    linear: FloatArray = np.exp(decibel * np.float32(np.log(10) / 20))
    return linear


def b_mode(rng: np.random.Generator, tissue: Tissue, scanner: Scanner, grid: Grid) -> NDArray[np.uint8]:
    """The picture a scanner shows of ``tissue``: uint8 size×size."""
    received = amplitude(-path_loss(tissue.loss, scanner, grid) - _contact(scanner, grid))
    diffuse = _with_clutter(amplitude(tissue.echo) * received, scanner, grid)
    mirror = tissue.mirror * received
    noise = 10 ** (scanner.noise / 20)
    intensity = speckle(rng, diffuse, mirror, noise, scanner, grid, scanner.looks) / 2
    compensation = np.float32(_two_way(scanner) * scanner.tgc) * grid.z + np.float32(scanner.gain)
    decibel = np.float32(10 / np.log(10)) * np.log(intensity + np.float32(1e-12)) + compensation
    return _display(decibel, scanner)


def _with_clutter(diffuse: FloatArray, scanner: Scanner, grid: Grid) -> FloatArray:
    """Add what side lobes fetch from the surroundings: cysts are never quite black."""
    size = (max(1, int(CLUTTER_CELL[0] / grid.dz)), max(1, int(CLUTTER_CELL[1] / grid.dx)))
    power = diffuse**2
    stray = ndimage.uniform_filter(power, size, mode="nearest") * np.float32(10 ** (scanner.clutter / 10))
    mixed: FloatArray = np.sqrt(power + stray)
    return mixed


def _contact(scanner: Scanner, grid: Grid) -> FloatArray:
    """DB lost where the probe lifts off the skin, 1×m, strongest at the very edge."""
    place = np.linspace(0, 1, grid.shape[1], dtype=np.float32)[None, :]
    left, right = scanner.contact
    lost: FloatArray = np.float32(left) * np.exp(-((place / np.float32(0.12)) ** 2))
    lost += np.float32(right) * np.exp(-(((1 - place) / np.float32(0.12)) ** 2))
    return lost


def _display(decibel: FloatArray, scanner: Scanner) -> NDArray[np.uint8]:
    """Log-compressed, thinned to rows, smoothed, fanned out, 8 bit. 0 dB is shown HEADROOM below white."""
    level = np.clip((decibel - HEADROOM) / np.float32(scanner.dynamic_range) + 1, 0, 1)
    picture = (level[::OVERSAMPLE] + level[1::OVERSAMPLE]) / 2
    picture **= np.float32(scanner.gamma)
    picture = ndimage.gaussian_filter(picture, scanner.smoothing, mode="nearest", truncate=3)
    if scanner.fan:
        picture = _scan_convert(picture, scanner)
    side, bottom = (round(share * picture.shape[1]) for share in scanner.border)
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

"""Random changes of images and masks together, as other scanners and operators would make them.

Everything is drawn from one seeded generator, so a batch is a function of its seed alone.
"""

from __future__ import annotations

import math
import string
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional

from senoscope.training.recipe import Augment

Rng = np.random.Generator


def augment(
    images: Tensor, masks: Tensor, spec: Augment, size: int, rng: Rng, *, side: int | None = None
) -> tuple[Tensor, Tensor]:
    """Float images and masks N×1×S×S in 0..1 to windows N×1×size×size, changed at random.

    Geometry (zoom, stretch, turn, shift, mirror) is one resampling shared by image and mask; a lesion that fits
    the window stays inside it, so that its class stays true. A zoom of 1 shows things as large as in an image of
    ``side`` pixels a side (by default S; images kept larger than that stay sharp when magnified).
    """
    windows = _windows(masks, spec, size / (side or masks.shape[-1]), rng)
    grid = functional.affine_grid(windows, [len(images), 1, size, size], align_corners=False)
    border = "reflection" if spec.border == "reflect" else "zeros"
    images = functional.grid_sample(images, grid, "bilinear", border, align_corners=False)
    masks = (functional.grid_sample(masks, grid, "bilinear", border, align_corners=False) >= 0.5).float()
    return _appearance(images, spec, rng).clamp_(0, 1), masks


def _windows(masks: Tensor, spec: Augment, share: float, rng: Rng) -> Tensor:
    """Affine maps N×2×3 from window to image, both in -1..1; a window is ``share`` of the image at a zoom of 1."""
    count = len(masks)
    zoom = np.exp(rng.uniform(math.log(spec.zoom[0]), math.log(spec.zoom[1]), count))
    stretch = np.exp(rng.uniform(-spec.aspect, spec.aspect, count) / 2)
    half = np.stack([stretch, 1 / stretch], 1) * (share / zoom)[:, None]  # half extents, x and y
    centre = np.stack([_centres(masks[i, 0], half[i], rng) for i in range(count)])
    angle = np.deg2rad(rng.uniform(-spec.rotate_degrees, spec.rotate_degrees, count))
    mirror = np.where(rng.random(count) < spec.flip, -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack(
        [
            np.stack([mirror * half[:, 0] * cos, -half[:, 1] * sin, centre[:, 0]], 1),
            np.stack([mirror * half[:, 0] * sin, half[:, 1] * cos, centre[:, 1]], 1),
        ],
        1,
    )
    return torch.from_numpy(rows.astype(np.float32))


def _centres(mask: Tensor, half: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """A window's centre (x, y): near the image's middle if the window is large, anywhere inside if it is small."""
    centre = np.empty(2)
    for axis in range(2):
        slack = abs(1 - half[axis]) + 0.1
        low, high = -slack, slack
        line = torch.nonzero(mask.any(0 if axis == 0 else 1)).flatten()
        if len(line):
            first, last = (2 * np.array([int(line[0]), int(line[-1]) + 1]) / mask.shape[-1]) - 1
            inside = sorted((last - half[axis] + 0.04, first + half[axis] - 0.04))
            low, high = max(low, inside[0]), min(high, inside[1])
            if low > high:
                low = high = (first + last) / 2
        centre[axis] = rng.uniform(low, high)
    return centre


def _appearance(images: Tensor, spec: Augment, rng: Rng) -> Tensor:
    count, size = len(images), images.shape[-1]

    def column(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).view(-1, 1, 1, 1)

    images = images.clamp(0, 1).pow(column(np.exp(rng.normal(0, spec.gamma, count))))
    depth = torch.linspace(-1, 1, size).view(1, 1, size, 1)
    images = images * (1 + column(rng.uniform(-spec.gain, spec.gain, count)) * depth)
    contrast = column(np.exp(rng.uniform(-spec.contrast, spec.contrast, count)))
    shift = column(rng.uniform(-spec.brightness, spec.brightness, count))
    lit = (images > 0.01).float()  # the border around the picture stays black
    images = ((images - 0.35) * contrast + 0.35 + shift) * lit
    images = _shadow(images, spec, rng)
    images = _speckle(images, spec, rng)
    images = _blur(images, spec, rng)
    return _overlay(images, spec, rng)


def _shadow(images: Tensor, spec: Augment, rng: Rng) -> Tensor:
    """Darken a soft-edged band from a random depth downwards; a band has no outline and is no finding."""
    size = images.shape[-1]
    across, down = torch.arange(size).view(1, -1), torch.arange(size).view(-1, 1)
    for index in np.flatnonzero(rng.random(len(images)) < spec.shadow):
        centre, half = rng.uniform(0, size), rng.uniform(0.05, 0.3) * size
        top, soft = rng.uniform(-0.2, 0.7) * size, rng.uniform(0.02, 0.08) * size
        band = torch.sigmoid((half - (across - centre).abs()) / soft) * torch.sigmoid(
            (down - top) / (2 * soft)
        )
        images[index, 0] *= 1 - float(rng.uniform(0.4, 0.95)) * band
    return images


def _speckle(images: Tensor, spec: Augment, rng: Rng) -> Tensor:
    """Multiplicative noise with grains of one to three pixels, longer across than along the beam."""
    strength = np.where(rng.random(len(images)) < spec.speckle, rng.uniform(0.05, 0.35, len(images)), 0.0)
    if not strength.any():
        return images
    size = images.shape[-1]
    shape = (len(images), 1, size // int(rng.integers(1, 3)), size // int(rng.integers(1, 4)))
    noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    noise = functional.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False)
    return images * (1 + torch.from_numpy(strength.astype(np.float32)).view(-1, 1, 1, 1) * noise)


def _blur(images: Tensor, spec: Augment, rng: Rng) -> Tensor:
    """Half of the chosen images lose resolution, half are over-sharpened as some scanners do."""
    drawn = rng.random(len(images))
    factor, sharpness = float(rng.uniform(0.35, 0.8)), float(rng.uniform(0.3, 1.0))
    chosen = np.flatnonzero(drawn < spec.blur)
    if not len(chosen):
        return images
    sharp = images[chosen]
    small = functional.interpolate(
        sharp, scale_factor=factor, mode="bilinear", align_corners=False, antialias=True
    )
    soft = functional.interpolate(small, size=images.shape[-2:], mode="bilinear", align_corners=False)
    blurred = torch.from_numpy(drawn[chosen] < spec.blur / 2).view(-1, 1, 1, 1)
    images[chosen] = torch.where(blurred, soft, sharp + sharpness * (sharp - soft))
    return images


def _overlay(images: Tensor, spec: Augment, rng: Rng) -> Tensor:
    """Burnt-in text and caliper marks, which must not be read as findings."""
    for index in np.flatnonzero(rng.random(len(images)) < spec.overlay):
        layer = torch.from_numpy(_marks(images.shape[-1], rng))
        images[index, 0] = torch.maximum(images[index, 0], layer)
    return images


_font = cache(ImageFont.load_default)  # reading it takes longer than drawing with it


def _marks(size: int, rng: Rng) -> NDArray[np.float32]:
    picture = Image.new("L", (size, size))
    draw = ImageDraw.Draw(picture)
    ink = int(rng.integers(150, 256))
    letters = np.array(list(string.ascii_uppercase + string.digits + "  .:"))
    font = _font(float(rng.integers(7, 14)))
    for _ in range(int(rng.integers(0, 4))):
        text = "".join(rng.choice(letters, int(rng.integers(2, 16))))
        draw.text((int(rng.integers(-10, size - 20)), int(rng.integers(0, size - 8))), text, ink, font)
    arm = int(rng.integers(2, 6))
    for x, y in rng.integers(5, size - 5, (int(rng.choice([0, 2, 4])), 2)).tolist():
        draw.line((x - arm, y, x + arm, y), ink)
        draw.line((x, y - arm, x, y + arm), ink)
    return np.asarray(picture, np.float32) / np.float32(255)

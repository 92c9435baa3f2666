"""When not to answer: images the model was not made for, and images it can hardly see anything in.

*Scope* decides whether scores are given at all: colour (Doppler, elastography), another modality, or statistics
unlike every training image. *Quality* only adds a note beside the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from senoscope.imaging.burnt_in import text_mask
from senoscope.imaging.raw import RawImage, colour_fraction
from senoscope.schema import FloatArray

FEATURES = (
    "contrast",
    "dark",
    "edges_across",
    "edges_down",
    "lag_down",
    "speckle",
    "skewness",
    "column_profile",
)
"""Names of ``scope_features``' values; a bundle fitted on others is refused."""

COLOUR_WITHHELD = 0.02
"""Share of coloured pixels from which an image counts as Doppler, elastography or an annotated screenshot."""
COLOUR_NOTED = 0.0005
SATURATED = 0.05
LOW_RESOLUTION = 160

MODALITIES = {
    "US": "ultrasound",
    "MG": "mammography",
    "MR": "magnetic resonance imaging",
    "SM": "slide microscopy",
    "XC": "photographs",
}
"""DICOM modality codes in words."""
_COLOURED = {"SM", "XC"}

_SIDE = 128
_BLOCK = 8
_DARK = 0.06


class ScopeModel(BaseModel):
    """A Gaussian over ``scope_features`` of training images and the Mahalanobis distance beyond which an image is
    unlike them. ``n`` images were used; ``quantile`` of them lie within ``threshold``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    features: tuple[str, ...] = FEATURES
    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    threshold: float = Field(gt=0)
    n: int = Field(ge=1)
    quantile: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> ScopeModel:
        count = len(FEATURES)
        if self.features != FEATURES:
            raise ValueError(f"features must be {', '.join(FEATURES)}")
        if len(self.mean) != count or {len(self.precision), *map(len, self.precision)} != {count}:
            raise ValueError(f"mean must hold {count} numbers and precision {count}×{count}")
        return self

    def distance(self, gray: FloatArray) -> float:
        """Mahalanobis distance of an image (float32 H×W, 0..1) from the training images."""
        away = scope_features(gray).astype(np.float64) - np.asarray(self.mean)
        return float(np.sqrt(max(away @ np.asarray(self.precision) @ away, 0.0)))


def scope_features(gray: FloatArray) -> FloatArray:
    """Eight statistics (8,) of an image's texture and layout, of a 128×128 thumbnail and so nearly free of its size.

    In the order of ``FEATURES``: log standard deviation; log dark share; log mean absolute step across and down,
    relative to the standard deviation (speckle is wider than deep, so the two differ in ultrasound and hardly in
    photographs); log loss of correlation over 4 rows; log median local contrast of 8×8 blocks; skewness; how much
    brighter the outer columns are than the middle.
    """
    small = _thumbnail(gray)
    mean, deviation = float(small.mean()), float(small.std()) + 1e-3
    centred = small - mean
    across, down = np.abs(np.diff(small, axis=1)).mean(), np.abs(np.diff(small, axis=0)).mean()
    correlation = float((centred[:-4] * centred[4:]).mean()) / (deviation * deviation)
    count = _SIDE // _BLOCK
    blocks = small.reshape(count, _BLOCK, count, _BLOCK).swapaxes(1, 2).reshape(count * count, -1)
    level, spread = blocks.mean(axis=1), blocks.std(axis=1)
    lit = level > _DARK
    speckle = float(np.median(spread[lit] / level[lit])) if lit.sum() > 8 else 0.0
    columns = small.mean(axis=0)
    quarter = _SIDE // 4
    profile = columns[:quarter].mean() + columns[-quarter:].mean() - 2.0 * columns[quarter:-quarter].mean()
    return np.array(
        [
            np.log(deviation),
            np.log((small < _DARK).mean() + 0.01),
            np.log(across / deviation + 1e-3),
            np.log(down / deviation + 1e-3),
            np.log(max(1.0 - correlation, 0.0) + 0.01),
            np.log(speckle + 0.02),
            float((centred**3).mean()) / deviation**3,
            profile,
        ],
        dtype=np.float32,
    )


def fit_scope(images: Iterable[FloatArray], quantile: float = 0.995, margin: float = 1.05) -> ScopeModel:
    """Fit the model to training images (float32 H×W, 0..1, as ``to_gray`` gives them).

    ``quantile`` of them lie within the threshold before it is widened by ``margin`` for images not yet seen.
    Raises ``ValueError`` for fewer images than make a covariance.
    """
    table: NDArray[np.float64] = np.array([scope_features(image) for image in images], dtype=np.float64)
    if len(table) < 4 * len(FEATURES):
        raise ValueError(f"{len(table)} images are too few to say what the model's images look like")
    mean = table.mean(axis=0)
    covariance = np.cov(table.T) + 1e-6 * np.eye(len(FEATURES))
    precision = np.linalg.inv(covariance)
    away = table - mean
    distances = np.sqrt(np.einsum("ni,ij,nj->n", away, precision, away))
    return ScopeModel(
        mean=tuple(round(float(value), 8) for value in mean),
        precision=tuple(tuple(round(float(value), 8) for value in row) for row in precision),
        threshold=round(float(np.quantile(distances, quantile)) * margin, 4),
        n=len(table),
        quantile=quantile,
    )


def judge(
    raw: RawImage, gray: FloatArray, model: ScopeModel | None, modalities: Sequence[str] = ("US",)
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why scores must be withheld (empty if they need not be), and what may have made the answer worse.

    ``modalities`` are the DICOM codes of the images the network was trained on.
    """
    colour = _colour(raw)
    return _out_of_scope(raw, gray, colour, model, modalities), _quality(raw, gray, colour)


def modality_words(modalities: Sequence[str]) -> str:
    """DICOM codes in words: "ultrasound", "ultrasound or mammography"."""
    return " or ".join(MODALITIES.get(code, code) for code in modalities)


def _out_of_scope(
    raw: RawImage, gray: FloatArray, colour: float, model: ScopeModel | None, modalities: Sequence[str]
) -> tuple[str, ...]:
    if raw.modality is not None and raw.modality not in modalities:
        wanted = f"{modality_words(modalities)} ({', '.join(modalities)})"
        return (f"the file says its modality is {raw.modality}, not {wanted}",)
    is_ultrasound = tuple(modalities) == ("US",)
    if colour >= COLOUR_WITHHELD and not _COLOURED & set(modalities):
        what = (
            "Doppler, elastography or an overlay, not B-mode"
            if is_ultrasound
            else "an overlay, or no gray image"
        )
        return (f"{colour:.0%} of the image is coloured: {what}",)
    if model is not None and model.distance(gray) > model.threshold:
        kind = "B-mode breast ultrasound" if is_ultrasound else f"breast {modality_words(modalities)}"
        return (f"the image does not look like the {kind} the model was trained on",)
    return ()


def _quality(raw: RawImage, gray: FloatArray, colour: float) -> tuple[str, ...]:
    notes = list(raw.notes)
    if COLOUR_NOTED <= colour < COLOUR_WITHHELD:
        notes.append(f"coloured marks on {colour:.1%} of the image")
    if min(gray.shape) < LOW_RESOLUTION:
        notes.append(f"low resolution: {gray.shape[1]}×{gray.shape[0]} pixels")
    saturated = np.count_nonzero(gray >= 254 / 255) / gray.size
    if saturated > SATURATED:
        notes.append(f"{saturated:.0%} of the image is saturated")
    return tuple(notes)


def _colour(raw: RawImage) -> float:
    """Share of coloured pixels, counted on every second row and column: a quarter of the work, the same share."""
    return colour_fraction(replace(raw, pixels=raw.pixels[::2, ::2]))


def text_note(gray: FloatArray) -> tuple[str, ...]:
    """A note if text is burnt into the image. It takes longer than the network: batches add it, ``judge`` does not."""
    share = float(text_mask(gray).mean())
    return (f"burnt-in text on {share:.1%} of the image",) if share > 0 else ()


def uncertainty(probabilities: FloatArray) -> float:
    """Normalised entropy of class probabilities: 0 when one class has all, 1 when all are equal."""
    held = probabilities[probabilities > 0].astype(np.float64)
    return float(np.clip(-(held * np.log(held)).sum() / np.log(len(probabilities)), 0.0, 1.0))


def _thumbnail(gray: FloatArray) -> FloatArray:
    height, width = gray.shape
    step = max(
        1, min(height, width) // (4 * _SIDE)
    )  # huge images: every few pixels first, they are averaged anyway
    picture = Image.fromarray(np.ascontiguousarray(gray[::step, ::step]))
    how = Image.Resampling.BOX if min(picture.size) >= _SIDE else Image.Resampling.BILINEAR
    return np.asarray(picture.resize((_SIDE, _SIDE), how), dtype=np.float32)

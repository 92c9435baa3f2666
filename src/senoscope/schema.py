"""The words every room shares: Record, Sample, Prediction, Finding, Report.

Plain frozen dataclasses without pixels' readers or models behind them; nothing here imports torch.
Coordinates are in pixels, x to the right and y downwards, with pixel (0, 0)'s centre at (0, 0) for contours
and its upper-left corner at (0, 0) for boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

CLASSES: tuple[str, ...] = ("normal", "benign", "malignant")
"""Class names of breast images, in the order every table and model output uses."""

RESEARCH_USE = "For research use only, not a medical device."


class Box(NamedTuple):
    """An upright box in pixels: upper-left corner, then size."""

    x: float
    y: float
    width: float
    height: float

    def scaled(self, sx: float, sy: float) -> Box:
        """The same box in a frame stretched by ``sx`` across and ``sy`` down."""
        return Box(self.x * sx, self.y * sy, self.width * sx, self.height * sy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of a dataset's table. No pixels; ``None`` always means *unknown*.

    ``masks`` is ``None`` when no mask is known and ``()`` when the image is known to hold no lesion.
    ``boxes`` are in the frame of the file on disk. ``spacing`` is (row, column) in mm per pixel.
    ``modality`` is the DICOM code (US, MG, MR, SM; XC for photographs). Records that are near-duplicates of
    each other share ``group``.
    """

    id: str
    dataset: str
    image: Path
    modality: str
    label: str | None = None
    masks: tuple[Path, ...] | None = None
    boxes: tuple[Box, ...] | None = None
    patient: str | None = None
    group: str | None = None
    view: str | None = None
    laterality: str | None = None
    spacing: tuple[float, float] | None = None
    clinical: Mapping[str, str | float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A Record read: ``image`` float32 H×W in 0..1, ``mask`` bool H×W or ``None`` (absent is not empty)."""

    record: Record
    image: FloatArray
    mask: BoolArray | None
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One lesion in the original image's frame.

    ``contour`` is a closed polygon as float32 N×2 (x, y). ``score`` is the calibrated probability that the
    lesion is malignant; with one finding it equals the image's. ``area_mm2`` is ``None`` unless spacing is known.
    Descriptors are BI-RADS-aligned words (shape: oval, round, irregular; orientation: parallel, not parallel;
    margin: circumscribed, not circumscribed), computed from the contour, never a BI-RADS category.

    ``None`` is what the model does not give: the ``score`` where it does not classify, or cannot divide the image's
    class among several findings; area, ``confidence`` and descriptors where it draws a box and no outline (the
    contour is then the box's rectangle).
    """

    contour: FloatArray
    box: Box
    area_px: int | None
    area_mm2: float | None
    score: float | None
    confidence: float | None
    shape: str | None
    orientation: str | None
    margin: str | None
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of one image, in the original frame; ``None`` is what this model does not give.

    ``probabilities`` follows ``classes`` and sums to 1 (calibrated). ``lesion_map`` and ``heatmap`` are float32
    H×W in 0..1: the probability that a pixel belongs to a lesion, and the evidence for malignant over benign
    that the class came from. ``uncertainty`` is the normalised entropy of the class probabilities, 0..1.
    ``boxes`` are a detector's, in pixels. When ``in_scope`` is false, ``reasons`` say why and scores are withheld
    by the reports.
    """

    classes: tuple[str, ...]
    probabilities: FloatArray | None
    lesion_map: FloatArray | None
    heatmap: FloatArray | None
    uncertainty: float | None
    in_scope: bool = True
    reasons: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()
    boxes: tuple[Box, ...] | None = None

    @property
    def label(self) -> str | None:
        """The most probable class; ``None`` from a model that does not classify."""
        return None if self.probabilities is None else self.classes[int(np.argmax(self.probabilities))]

    @property
    def locates(self) -> bool:
        """Whether the model looks for lesions, by outline or box: only then does "no finding" mean anything."""
        return self.lesion_map is not None or self.boxes is not None

    def probability(self, name: str) -> float | None:
        """Probability of one class by name; raises ``ValueError`` for a name the model does not know.

        ``None`` from a model that does not classify.
        """
        return None if self.probabilities is None else float(self.probabilities[self.classes.index(name)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Findings of one image: analysed, withheld (out of scope, not analysable) or failed, and why."""

    source: str
    status: str  # "analysed" | "out of scope" | "not analysable" | "failed"
    size: tuple[int, int] | None = None  # width, height
    spacing: tuple[float, float] | None = None
    prediction: Prediction | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float | None = None

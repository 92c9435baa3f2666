"""From pixels to a report: the one path every front end (command line, Python, reports) goes through."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from senoscope.explain import class_map
from senoscope.imaging.preprocess import Frame
from senoscope.imaging.raw import RawImage, analysable, to_gray
from senoscope.imaging.read import read_image
from senoscope.inference import scope
from senoscope.inference.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from senoscope.inference.findings import Region, find_regions, lesion_mask, make_finding
from senoscope.inference.region import cut_out, embed_mask, marked_window, put_back
from senoscope.inference.runtimes import OnnxNetwork, RawOutputs
from senoscope.inference.scores import finding_logits, softmax
from senoscope.schema import BoolArray, FloatArray, Prediction, Report

WITHHELD_NORMAL = "An outline was drawn, but the most probable class is normal: no finding is reported."
NO_OUTLINE = "The most probable class is {label}, but no lesion could be outlined: look at the whole image."
DOES_NOT_KNOW = "The model does not know: its classes are nearly equally probable (uncertainty {value:.2f})."


@dataclass(frozen=True, slots=True)
class Analysis:
    """A report with the pixels it speaks of: ``gray`` float32 H×W and ``mask`` bool H×W (the findings together)."""

    report: Report
    gray: FloatArray | None = None
    mask: BoolArray | None = None


class Analyzer:
    """A bundle, loaded once and used for many images.

    Parameters
    ----------
    bundle: a shipped bundle's name, a bundle's folder, or a ``Bundle``.
    threads: CPU threads of the network, at most as many as the machine has; ``None`` uses them all.

    Raises
    ------
    BundleError: the bundle is missing, damaged, unsafe or made for something else.
    """

    def __init__(self, bundle: str | Path | Bundle = DEFAULT_BUNDLE, threads: int | None = 2) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self._network = OnnxNetwork(self.bundle, threads)

    def predict(self, gray: FloatArray) -> Prediction:
        """Probabilities and maps for one grey image, float32 H×W in 0..1.

        Raises ``ValueError`` for an image that cannot be analysed (too small, constant, not a number).
        """
        gray = np.asarray(gray, dtype=np.float32)
        reason = analysable(gray)
        if reason:
            raise ValueError(reason)
        raw = RawImage(pixels=gray, spacing=None, modality=None, notes=(), source="array")
        return self._predict(raw, gray)[0]

    def analyze(self, image: str | Path | RawImage) -> Report:
        """Findings of one image file or one image already read.

        Raises ``ImageError`` for a file that cannot be read. An image that is out of scope or not analysable is
        no error: the report's ``status`` and ``notes`` say so, and its findings stay empty.
        """
        return self.examine(image).report

    def examine(self, image: str | Path | RawImage) -> Analysis:
        """``analyze``, with the grey image and the findings' mask that reports draw."""
        start = time.perf_counter()
        raw = image if isinstance(image, RawImage) else read_image(Path(image))
        source = raw.source if isinstance(image, RawImage) else str(image)
        window = marked_window(raw)
        if window is None:
            return self._examine(raw, source, start)
        inside = self._examine(cut_out(raw, window), source, start)
        gray = to_gray(raw)
        report = put_back(inside.report, window, (gray.shape[1], gray.shape[0]))
        return Analysis(
            report, gray, None if inside.mask is None else embed_mask(inside.mask, window, gray.shape)
        )

    def _examine(self, raw: RawImage, source: str, start: float) -> Analysis:
        gray = to_gray(raw)
        size = (gray.shape[1], gray.shape[0])
        reason = analysable(gray)
        if reason:
            report = Report(
                source=source,
                status="not analysable",
                size=size,
                spacing=raw.spacing,
                notes=(reason, *raw.notes),
                seconds=time.perf_counter() - start,
            )
            return Analysis(report, gray)
        prediction, outputs, frame = self._predict(raw, gray)
        if not prediction.in_scope:
            report = Report(
                source=source,
                status="out of scope",
                size=size,
                spacing=raw.spacing,
                prediction=prediction,
                seconds=time.perf_counter() - start,
            )
            return Analysis(report, gray)
        card = self.bundle.card
        regions = find_regions(prediction.lesion_map, card.mask_threshold, card.min_area, card.min_share)
        notes = self._notes(prediction, regions)
        if prediction.label == "normal":
            regions = []
        scores = self._scores(prediction, outputs, frame, regions)
        findings = tuple(
            make_finding(region, gray, raw.spacing, score)
            for region, score in zip(regions, scores, strict=True)
        )
        report = Report(
            source=source,
            status="analysed",
            size=size,
            spacing=raw.spacing,
            prediction=prediction,
            findings=findings,
            notes=notes,
            seconds=time.perf_counter() - start,
        )
        return Analysis(report, gray, lesion_mask(regions, gray.shape))

    def _predict(self, raw: RawImage, gray: FloatArray) -> tuple[Prediction, RawOutputs, Frame]:
        card = self.bundle.card
        image, frame = card.preprocess.apply(gray)
        outputs = self._network.run(image)
        probabilities = softmax(outputs.class_logits / card.calibration.temperature)
        malignant, benign = card.classes.index("malignant"), card.classes.index("benign")
        evidence = class_map.evidence(outputs.class_map, outputs.pool_weights, malignant, benign)
        heat = class_map.enlarge(class_map.to_unit(evidence), card.preprocess.size)
        reasons, quality = scope.judge(raw, gray, card.scope)
        prediction = Prediction(
            classes=card.classes,
            probabilities=probabilities,
            lesion_map=frame.to_original(_sigmoid(outputs.mask_logits)),
            heatmap=frame.to_original(heat),
            uncertainty=scope.uncertainty(probabilities),
            in_scope=not reasons,
            reasons=reasons,
            quality=quality,
        )
        return prediction, outputs, frame

    def _scores(
        self, prediction: Prediction, outputs: RawOutputs, frame: Frame, regions: list[Region]
    ) -> list[float]:
        if len(regions) < 2:  # all the evidence is this finding's: its score is the image's
            return [prediction.probability("malignant")] * len(regions)
        size = prediction.lesion_map.shape
        masks = [frame.to_model(region.full_mask(size).astype(np.float32)) for region in regions]
        parts = finding_logits(outputs.class_map, outputs.pool_weights, masks)
        card = self.bundle.card
        malignant = card.classes.index("malignant")
        return [float(softmax(logits / card.calibration.temperature)[malignant]) for logits, _ in parts]

    def _notes(self, prediction: Prediction, regions: list[Region]) -> tuple[str, ...]:
        notes = []
        if prediction.uncertainty >= self.bundle.card.uncertainty_limit:
            notes.append(DOES_NOT_KNOW.format(value=prediction.uncertainty))
        if prediction.label == "normal" and regions:
            notes.append(WITHHELD_NORMAL)
        if prediction.label != "normal" and not regions:
            notes.append(NO_OUTLINE.format(label=prediction.label))
        return tuple(notes)


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.reciprocal(np.exp(np.clip(-logits, -60.0, 60.0)) + np.float32(1.0), dtype=np.float32)


def analyze(image: str | Path | RawImage, bundle: str | Path = DEFAULT_BUNDLE) -> Report:
    """Findings of one image with a bundle that is loaded once and kept; see ``Analyzer.analyze``."""
    return _kept_analyzer(str(bundle)).analyze(image)


@cache
def _kept_analyzer(bundle: str) -> Analyzer:
    return Analyzer(bundle)

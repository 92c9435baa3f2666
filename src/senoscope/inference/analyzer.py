"""From pixels to a report: the one path every front end (command line, Python, reports) goes through."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np

from senoscope.imaging.preprocess import Frame
from senoscope.imaging.raw import RawImage, analysable, to_gray
from senoscope.imaging.read import read_image
from senoscope.imaging.regions import Region, find_regions, lesion_mask, refine
from senoscope.inference.answer import finding_scores, lesion_map, make_prediction, notes
from senoscope.inference.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from senoscope.inference.findings import box_finding, make_finding
from senoscope.inference.region import cut_out, embed_mask, marked_window, put_back
from senoscope.inference.runtimes import OnnxNetwork, RawOutputs
from senoscope.schema import BoolArray, Finding, FloatArray, Prediction, Report


@dataclass(frozen=True, slots=True)
class Analysis:
    """A report with the pixels it speaks of: ``gray`` float32 H×W and ``mask`` bool H×W (the findings together).

    ``mask`` is ``None`` where nothing was analysed, and where the model does not outline.
    """

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
        findings, mask, said = self._findings(raw, gray, prediction, outputs, frame)
        report = Report(
            source=source,
            status="analysed",
            size=size,
            spacing=raw.spacing,
            prediction=prediction,
            findings=findings,
            notes=said,
            seconds=time.perf_counter() - start,
        )
        return Analysis(report, gray, mask)

    def _predict(self, raw: RawImage, gray: FloatArray) -> tuple[Prediction, RawOutputs, Frame]:
        card = self.bundle.card
        image, frame = card.preprocess.apply(gray)
        outputs = self._network.run(image)
        prediction = make_prediction(card, raw, gray, outputs, frame)
        if card.refine and prediction.lesion_map is not None:
            regions = self._regions(prediction.lesion_map)
            refined = refine(prediction.lesion_map, regions, gray, self._look)
            prediction = replace(prediction, lesion_map=refined)
        return prediction, outputs, frame

    def _look(self, gray: FloatArray) -> FloatArray:
        """The lesion map of part of an image, by a network that gives one."""
        image, frame = self.bundle.card.preprocess.apply(gray)
        return cast(FloatArray, lesion_map(self._network.run(image), frame))

    def _regions(self, found: FloatArray) -> list[Region]:
        card = self.bundle.card
        return find_regions(found, card.mask_threshold, card.min_area, card.min_share)

    def _findings(
        self, raw: RawImage, gray: FloatArray, prediction: Prediction, outputs: RawOutputs, frame: Frame
    ) -> tuple[tuple[Finding, ...], BoolArray | None, tuple[str, ...]]:
        """Findings, their mask (``None`` without outlines) and notes. Boxes count where there is no outline."""
        card, normal = self.bundle.card, prediction.label == "normal"
        if prediction.lesion_map is None:
            boxes = prediction.boxes or ()
            said = notes(card, prediction, len(boxes))
            score = prediction.probability("malignant") if card.classifies else None
            return () if normal else tuple(box_finding(box, score) for box in boxes), None, said
        regions = self._regions(prediction.lesion_map)
        said = notes(card, prediction, len(regions))
        if normal:
            regions = []
        scores = finding_scores(card, prediction, outputs, frame, regions)
        findings = tuple(
            make_finding(region, gray, raw.spacing, score)
            for region, score in zip(regions, scores, strict=True)
        )
        return findings, lesion_mask(regions, (gray.shape[0], gray.shape[1])), said


def analyze(image: str | Path | RawImage, bundle: str | Path = DEFAULT_BUNDLE) -> Report:
    """Findings of one image with a bundle that is loaded once and kept; see ``Analyzer.analyze``."""
    return _kept_analyzer(str(bundle)).analyze(image)


@cache
def _kept_analyzer(bundle: str) -> Analyzer:
    return Analyzer(bundle)

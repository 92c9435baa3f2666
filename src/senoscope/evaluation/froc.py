"""Free-response figures: how many lesions are found at how many false marks (FROC, AFROC).

A lesion's score is that of the best mark that hits it, none if no mark does; further marks on it count neither as
hits nor as false. The FROC curve plots the share of lesions found against false marks per image, over all images,
as the threshold falls (Bunch et al. 1977; Chakraborty 1989, doi:10.1118/1.596358). The AFROC curve replaces false
marks per image by the share of images without a lesion that have a false mark; its area is the chance that a lesion
outscores the highest false mark of such an image, ties and pairs without any mark counting half (Chakraborty &
Winter 1990, doi:10.1148/radiology.174.3.2305073; images with lesions give no false-positive fraction, as in
Chakraborty 2017, Observer Performance Methods for Diagnostic Imaging, chapter 13).

Functions take image weights of shape (…, N), as those of ``ranking`` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation import ranking
from senoscope.evaluation.estimator import Estimator
from senoscope.evaluation.marks import Mark, parse
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import BoolArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_FALSE = 1.0
"""The FROC area ends at this many false marks per image."""


class Responses(NamedTuple):
    """Marks of N images, flat. Per lesion its image and best score (−inf if unmarked), per false mark the same.

    ``clean`` says which images hold no lesion.
    """

    lesion_image: Ints
    lesion_score: Floats
    false_image: Ints
    false_score: Floats
    clean: BoolArray


class FrocCurve(NamedTuple):
    """Operating points from the strictest threshold on; the first has no marks at all."""

    false_per_image: Floats
    sensitivity: Floats
    threshold: Floats


def responses(marks: Sequence[Sequence[Mark]], lesions: Sequence[int]) -> Responses:
    """Marks per image and the number of lesions in it, made flat."""
    lesion_image, lesion_score, false_image, false_score = [], [], [], []
    for image, (given, count) in enumerate(zip(marks, lesions, strict=True)):
        best = [-np.inf] * count
        for score, hit in given:
            if hit is None:
                false_image.append(image)
                false_score.append(score)
            else:
                best[hit] = max(best[hit], score)
        lesion_image += [image] * count
        lesion_score += best
    return Responses(
        np.array(lesion_image, dtype=np.int64),
        np.array(lesion_score, dtype=np.float64),
        np.array(false_image, dtype=np.int64),
        np.array(false_score, dtype=np.float64),
        np.asarray(np.array(lesions, dtype=np.int64) == 0),
    )


def marked(table: PredictionTable) -> BoolArray:
    """Cases whose true lesions and marks are both known."""
    known = np.array([text is not None for text in table.marks], dtype=bool)
    return np.asarray(known & np.isfinite(table.lesions))


def responses_of(table: PredictionTable, rows: NDArray[np.intp]) -> Responses:
    """The flat marks of some of a table's cases."""
    return responses([parse(table.marks[row]) for row in rows], [int(table.lesions[row]) for row in rows])


def froc_curve(found: Responses, weights: Floats | None = None) -> FrocCurve:
    """The FROC curve; with weights (…, N) the first two parts are (…, K). NaN without any lesion or image."""
    weights = np.ones(len(found.clean)) if weights is None else weights
    hit = np.isfinite(found.lesion_score)
    score = np.concatenate([found.lesion_score[hit], found.false_score])
    image = np.concatenate([found.lesion_image[hit], found.false_image])
    order = np.argsort(-score, kind="stable")
    ranked, is_hit = score[order], order < hit.sum()
    last = (
        np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    )  # of equal scores
    drawn = weights[..., image[order]]
    hits, false = (np.cumsum(drawn * kind, axis=-1)[..., last] for kind in (is_hit, ~is_hit))
    count = np.bincount(found.lesion_image, minlength=len(found.clean)).astype(np.float64)
    start = np.zeros((*weights.shape[:-1], 1))
    return FrocCurve(
        _divide(np.concatenate([start, false], axis=-1), weights.sum(-1)),
        _divide(np.concatenate([start, hits], axis=-1), weights @ count),
        np.append(np.inf, ranked[last]),
    )


def sensitivity_at(curve: FrocCurve, false_per_image: float) -> Floats:
    """The largest share of lesions found with at most so many false marks per image; nothing is interpolated."""
    allowed = curve.false_per_image <= false_per_image + 1e-12
    return np.asarray(np.where(allowed, curve.sensitivity, 0.0).max(axis=-1))


def froc_area(curve: FrocCurve, most: float = MOST_FALSE) -> Floats:
    """Mean of :func:`sensitivity_at` over 0 to ``most`` false marks per image, 0 to 1."""
    ends = np.minimum(curve.false_per_image, most)
    following = np.concatenate([ends[..., 1:], np.full((*ends.shape[:-1], 1), most)], axis=-1)
    return np.asarray((curve.sensitivity * (following - ends)).sum(axis=-1) / most)


def afroc_curve(found: Responses) -> ranking.RocCurve:
    """The AFROC curve, with the straight line from its last operating point to (1, 1)."""
    return ranking.roc_curve(*_against_clean(found)[:2])


def afroc_area(found: Responses, weights: Floats | None = None) -> Floats:
    """The area under the AFROC curve; NaN without lesions or without images that hold none."""
    positive, score, image = _against_clean(found)
    return ranking.auc(positive, score, None if weights is None else weights[..., image])


def detection_estimators(table: PredictionTable) -> dict[str, Estimator]:
    """Every figure of the marks that a table allows."""
    rows = np.flatnonzero(marked(table))
    if not len(rows) or not (table.lesions[rows] > 0).any():
        return {}
    found = responses_of(table, rows)
    figures = {
        "froc_area": Estimator(rows, lambda weights: froc_area(froc_curve(found, weights))),
        "lesion_sensitivity_fp025": _sensitivity(found, rows, 0.25),
        "lesion_sensitivity_fp1": _sensitivity(found, rows, 1.0),
    }
    if found.clean.any():
        figures["afroc_area"] = Estimator(rows, lambda weights: afroc_area(found, weights))
    return figures


def _sensitivity(found: Responses, rows: NDArray[np.intp], rate: float) -> Estimator:
    return Estimator(rows, lambda weights: sensitivity_at(froc_curve(found, weights), rate))


def _against_clean(found: Responses) -> tuple[BoolArray, Floats, Ints]:
    """Lesions (positive) and images without one, each with its highest score and its image."""
    highest = np.full(len(found.clean), -np.inf)
    np.maximum.at(highest, found.false_image, found.false_score)
    clean = np.flatnonzero(found.clean)
    positive = np.repeat([True, False], [len(found.lesion_image), len(clean)])
    score = np.concatenate([found.lesion_score, highest[clean]])
    return positive, score, np.concatenate([found.lesion_image, clean])


def _divide(over: Floats, under: Floats) -> Floats:
    total = np.asarray(under, dtype=np.float64)[..., None]
    return np.asarray(np.divide(over, total, out=np.full(np.shape(over), np.nan), where=total > 0))

"""Figures of the outlines: overlap and surface distance of lesions, false positives where there is none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from senoscope.evaluation.estimator import Estimator, mean, ratio
from senoscope.evaluation.table import PredictionTable
from senoscope.schema import CLASSES, BoolArray

SIZE_BINS = (0.02, 0.05, 0.10)
"""Borders of the lesion-size strata, as shares of the image's area."""


def outlined(table: PredictionTable) -> BoolArray:
    """Lesion cases that have a predicted mask, and so a Dice."""
    return np.asarray(table.lesion & np.isfinite(table.dice))


def mask_estimators(table: PredictionTable) -> dict[str, Estimator]:
    """Every figure of the predicted masks that the table's true masks allow.

    Names ending in ``_pooled`` are ratios of sums over all pixels of all cases, the others means over
    cases. Names with ``with_normals`` include the cases without a lesion, whose Dice is 1 if nothing is
    predicted in them and 0 otherwise.
    """
    lesions, clean = outlined(table), table.clean & np.isfinite(table.area_pred)
    figures: dict[str, Estimator] = {}
    if lesions.any():
        figures |= _lesions(table, lesions)
    if clean.any():
        figures["false_positive_rate"] = mean(table.area_pred > 0, clean)
        share = table.area_pred / (table.width * table.height)
        figures["false_positive_area"] = mean(share, clean & np.isfinite(share))
    if lesions.any() and clean.any():
        both = lesions | clean
        silent = (table.area_pred == 0).astype(np.float64)
        figures["dice_with_normals"] = mean(np.where(clean, silent, table.dice), both)
        common = np.where(clean, 0.0, table.intersection)
        total = np.where(clean, 0.0, table.area_true) + table.area_pred
        figures["dice_pooled_with_normals"] = ratio(2 * common, total, both & np.isfinite(common + total))
    return {name: figure for name, figure in figures.items() if len(figure.rows)}


def _lesions(table: PredictionTable, lesions: BoolArray) -> dict[str, Estimator]:
    common, total = table.intersection, table.area_true + table.area_pred
    counted = lesions & np.isfinite(common + total)
    missed = table.area_pred == 0
    diagonal = np.hypot(table.width, table.height)
    bounded = np.where(missed, diagonal, table.hd95)
    figures = {
        "dice": mean(table.dice, lesions),
        "iou": mean(table.iou, lesions & np.isfinite(table.iou)),
        "hd95": mean(table.hd95, lesions & np.isfinite(table.hd95)),
        "hd95_missed_as_diagonal": mean(bounded, lesions & np.isfinite(bounded)),
        "nsd": mean(table.nsd, lesions & np.isfinite(table.nsd)),
        "dice_pooled": ratio(2 * common, total, counted),
        "iou_pooled": ratio(common, total - common, counted),
        "missed": mean(table.dice == 0, lesions),
    }
    for code, name in enumerate(CLASSES):
        figures[f"dice_{name}"] = mean(table.dice, lesions & (table.label == code))
    return figures


def size_strata(table: PredictionTable) -> dict[str, BoolArray]:
    """Lesion cases by the lesion's share of the image, smallest first; names such as ``2–5 %``."""
    share = lesion_share(table)
    borders = (0.0, *SIZE_BINS, np.inf)
    return {
        _size_name(low, high): np.asarray(table.lesion & (share >= low) & (share < high))
        for low, high in pairwise(borders)
    }


def _size_name(low: float, high: float) -> str:
    if low == 0:
        return f"under {100 * high:g} %"
    if np.isinf(high):
        return f"{100 * low:g} % and more"
    return f"{100 * low:g}–{100 * high:g} %"


def lesion_share(table: PredictionTable) -> NDArray[np.float64]:
    """Share of the image that the true lesion covers, NaN where a size is unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(table.area_true / (table.width * table.height))

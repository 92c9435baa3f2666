"""A bundle's predictions on a dataset, as a prediction table."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from senoscope import data as datasets
from senoscope.data.identity import cases_hash, identity
from senoscope.data.splits import load_split
from senoscope.errors import LeakageError, SenoscopeError, TableError
from senoscope.evaluation.cases import Row, case_row
from senoscope.evaluation.marks import Marked, united
from senoscope.evaluation.maskfiles import save_mask
from senoscope.imaging.masks import box_to_mask
from senoscope.imaging.read import read_sample
from senoscope.imaging.regions import find_regions
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.bundle import Bundle
from senoscope.inference.card import Card
from senoscope.schema import Prediction, Record

Progress = Callable[[int, int], None]
"""Called with the number of cases done and of all cases."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Rows and metadata for :func:`cases.write_table`; ``failures`` are (id, reason) of cases without a row."""

    rows: list[Row]
    metadata: dict[str, Any]
    failures: list[tuple[str, str]] = field(default_factory=list)


def kept_records(name: str, root: Path | None = None) -> list[Record]:
    """A dataset's records without those that its frozen split dropped (label conflicts, exact duplicates)."""
    records = datasets.load(name, root)
    split = datasets.info(name).text("split")
    if not split:
        return records
    frozen = load_split(split)
    return [
        record for record in records if frozen.row(record.id) is None or frozen.fold_of(record.id) is not None
    ]


def predict_dataset(
    bundle: Bundle,
    records: Sequence[Record],
    progress: Progress | None = None,
    *,
    allow_in_sample: bool = False,
    masks: Path | None = None,
    threads: int = 2,
) -> Predictions:
    """Run a bundle over a dataset's records.

    The predicted mask is the network's, by the card's threshold and smallest area; it is not withheld where the most
    probable class is normal. What a model does not give stays empty in the table. Logits are uncalibrated;
    temperature and thresholds are the card's, frozen before.
    ``masks`` is the table's folder, to store the masks for the report. A case that cannot be read or analysed becomes
    a failure, and the rest goes on.

    Raises :class:`LeakageError` when the card names a dataset of the records as training data, unless
    ``allow_in_sample``: then the table is stamped. Raises :class:`TableError` when no case could be analysed.
    """
    stamps = in_sample_stamps(bundle, records, allow_in_sample)
    analyzer = Analyzer(bundle, threads)
    rows: list[Row] = []
    failures: list[tuple[str, str]] = []
    outside = 0
    for done, record in enumerate(records, 1):
        try:
            row, in_scope = _predict(analyzer, record, masks)
            rows.append(row)
            outside += not in_scope
        except (SenoscopeError, OSError, ValueError) as error:
            failures.append((record.id, str(error)))
        if progress is not None:
            progress(done, len(records))
    if not rows:
        reason = f": {failures[0][0]}: {failures[0][1]}" if failures else ""
        raise TableError(f"none of {len(records)} cases could be analysed{reason}")
    if failures:
        stamps.append(
            f"{len(failures)} of {len(records)} cases could not be analysed and are missing from every figure."
        )
    metadata = _metadata(bundle, records, threads) | {"stamps": stamps}
    notes = []
    if outside:
        notes.append(
            f"{outside} images are out of the model's declared scope; they are measured all the same."
        )
    if not bundle.card.outlines and "boxes" in bundle.card.gives:
        notes.append("The model draws boxes and no outlines: overlaps are those of the boxes' rectangles.")
    if notes:
        metadata["notes"] = notes
    return Predictions(rows, metadata, failures)


def in_sample_stamps(bundle: Bundle, records: Sequence[Record], allow: bool) -> list[str]:
    """The stamp of figures on a bundle's own training data: none, or with ``allow`` one, else :class:`LeakageError`."""
    whole = {source.name for source in bundle.card.data if not source.images}
    images = {image for source in bundle.card.data for image in source.images}
    shared = sorted({record.dataset for record in records} & whole)
    met = [record.id for record in records if images and identity(record) in images]
    if met:
        named = ", ".join(met[:3]) + (", …" if len(met) > 3 else "")
        shared.append(f"{len(met)} of these {len(records)} images ({named})")
    if not shared:
        return []
    found = f"{bundle.title} was trained on {', '.join(shared)}"
    if not allow:
        raise LeakageError(
            f"{found}, so its figures there would say nothing about unseen images",
            expected="images that the bundle's card does not name",
            fix="leave them out; or evaluate the training run, whose table is out-of-fold; "
            "or allow it with --allow-in-sample",
        )
    return [f"In-sample: {found}. These figures say nothing about unseen images."]


def _predict(analyzer: Analyzer, record: Record, masks: Path | None) -> tuple[Row, bool]:
    card = analyzer.bundle.card
    sample = read_sample(record)
    prediction = analyzer.predict(sample.image)
    shape = sample.image.shape[0], sample.image.shape[1]
    regions = _regions(prediction, card, shape)
    mask = None if regions is None else united(regions, shape)
    if masks is not None and mask is not None:
        save_mask(masks, record.dataset, record.id, mask)
    logits = None
    if prediction.probabilities is not None:  # softmax(logits / T) are the prediction's probabilities
        shares = np.clip(np.asarray(prediction.probabilities, dtype=np.float64), 1e-30, 1)
        logits = card.temperature * np.log(shares)
    row = case_row(record, sample.mask, mask, logits, prediction.classes, regions=regions)
    return row, prediction.in_scope


def _regions(prediction: Prediction, card: Card, shape: tuple[int, int]) -> list[Marked] | None:
    """The outlined lesions, scored; a detector's box stands in for an outline, as it does for runs."""
    if prediction.lesion_map is not None:
        regions = find_regions(prediction.lesion_map, card.mask_threshold, card.min_area, card.min_share)
        return [Marked(region.full_mask(shape), region.confidence) for region in regions]
    if prediction.boxes is None:
        return None
    return [Marked(box_to_mask(box, shape), 1.0) for box in prediction.boxes]


def _metadata(bundle: Bundle, records: Sequence[Record], threads: int) -> dict[str, Any]:
    names = ", ".join(sorted({record.dataset for record in records}))
    return {
        "system": bundle.title,
        "weights": bundle.weights_hash,
        "split": f"all of {names}",
        "split_hash": cases_hash(records),
        "frozen": _frozen(bundle.card),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {threads} threads",
    }


def _frozen(card: Card) -> dict[str, Any]:
    """What the card fixed on validation cases; nothing for a model that is not calibrated."""
    if card.calibration is None:
        return {}
    return {"temperature": card.calibration.temperature, "operating_points": card.operating_points}

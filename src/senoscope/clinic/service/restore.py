"""From what is stored back to the analysis that reports and DICOM objects are made from, as it was reviewed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import Row

from senoscope.clinic.service.store import Store
from senoscope.errors import SenoscopeError
from senoscope.imaging.masks import contour_to_mask
from senoscope.imaging.raw import to_gray
from senoscope.imaging.read import decode_image
from senoscope.inference.analyzer import Analysis
from senoscope.inference.bundle import Bundle, Card
from senoscope.schema import BoolArray, Box, Finding, FloatArray, Prediction, Report

REVIEWED = "Finding {number} was {review} by a reader."


def bundle_of(store: Store, exam: Mapping[str, Any]) -> Bundle:
    """The identity of the model an exam was analysed with (its card; the network itself is not there)."""
    card = Card.model_validate_json(store.blobs.read(exam["card"]), strict=False)
    return Bundle(Path(), card, b"")


def restored_exam(
    store: Store, exam: Mapping[str, Any], bundle: Bundle
) -> Iterator[tuple[Row[Any], Analysis]]:
    """Every image of an exam, as ``Store.exam`` describes it, with its analysis; one at a time."""
    for image in exam["images"]:
        row = store.image(exam["id"], image["number"])
        yield row, restored(store, image, row, bundle)


def stored_gray(store: Store, row: Row[Any]) -> FloatArray:
    """The grey image (float32 H×W, 0..1) of a stored one. Raises ``ImageError`` if it could not be read."""
    return to_gray(decode_image(store.blobs.read(row.content), f"image {row.number}"))


def restored(store: Store, image: Mapping[str, Any], row: Row[Any], bundle: Bundle) -> Analysis:
    """An image's analysis with its findings as they are now: edited ones edited, rejected ones left out.

    ``image`` is as ``Store.exam`` describes it and ``row`` as ``Store.image`` gives it.
    """
    items = [item for item in image["findings"] or () if item["review"] != "rejected"]
    said = [REVIEWED.format(**item) for item in image["findings"] or () if item["review"] != "ai"]
    report = Report(
        source=f"image {image['number']}",
        status=image["status"],
        size=None if image["size"] is None else (image["size"][0], image["size"][1]),
        spacing=None if image["spacing_mm"] is None else (image["spacing_mm"][0], image["spacing_mm"][1]),
        notes=(*image["notes"], *said),
        seconds=image["seconds"],
    )
    try:
        gray = stored_gray(store, row)
    except SenoscopeError:
        return Analysis(report)
    findings = tuple(map(_finding, items))
    outlines = bundle.card.outlines and image["status"] == "analysed"
    mask = _mask(findings, gray) if outlines else None
    heat = _heatmap(store, row)
    prediction = _prediction(image, bundle, mask, heat, findings)
    return Analysis(replace(report, findings=findings, prediction=prediction), gray, mask)


def _prediction(
    image: Mapping[str, Any],
    bundle: Bundle,
    mask: BoolArray | None,
    heat: FloatArray | None,
    findings: Sequence[Finding],
) -> Prediction | None:
    if image["status"] in ("failed", "not analysable", "waiting"):
        return None
    classes = bundle.card.classes
    shares = image["probabilities"]
    boxes = tuple(finding.box for finding in findings) if image["findings"] is not None else None
    return Prediction(
        classes=classes,
        probabilities=None
        if shares is None
        else np.array([shares[name] for name in classes], dtype=np.float32),
        lesion_map=None if mask is None else mask.astype(np.float32),
        heatmap=heat,
        uncertainty=image["uncertainty"],
        in_scope=image["status"] == "analysed",
        reasons=tuple(image["reasons"]),
        quality=tuple(image["quality"]),
        boxes=boxes if mask is None else None,
    )


def _finding(item: Mapping[str, Any]) -> Finding:
    names = ("area_px", "area_mm2", "score", "confidence", "shape", "orientation", "margin", "measures")
    contour = np.array(item["contour"], dtype=np.float32)
    return Finding(contour=contour, box=Box(*item["box"]), **{name: item[name] for name in names})


def _mask(findings: Sequence[Finding], gray: FloatArray) -> BoolArray:
    whole = np.zeros(gray.shape, dtype=np.bool_)
    for finding in findings:
        whole |= contour_to_mask(finding.contour, (gray.shape[0], gray.shape[1]))
    return whole


def _heatmap(store: Store, row: Row[Any]) -> FloatArray | None:
    if row.heatmap is None:
        return None
    with Image.open(BytesIO(store.blobs.read(row.heatmap))) as picture:
        heat: FloatArray = np.asarray(picture, dtype=np.float32) / np.float32(255)
    return heat

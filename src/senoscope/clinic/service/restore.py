"""From what is stored back to the analysis that reports and DICOM objects are made from, as it was reviewed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from sqlalchemy import Row

from senoscope.clinic.service.cine import heat_name
from senoscope.clinic.service.loops import stored_frame
from senoscope.clinic.service.pictures import heat_values
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
) -> Iterator[tuple[Mapping[str, Any], Row[Any], Analysis]]:
    """Every image of an exam, as ``Store.exam`` describes it, its row, and its analysis (of a loop, the key frame's);
    one at a time."""
    for image in exam["images"]:
        row = store.image(exam["id"], image["number"])
        yield image, row, restored(store, image, row, bundle)


def restored_frames(
    store: Store, image: Mapping[str, Any], row: Row[Any], bundle: Bundle
) -> Iterator[Analysis]:
    """The analysis of every frame of a loop, in order, or that of a still."""
    frames = [image] if image["cine"] is None else store.frames(row)
    for frame in frames:
        yield restored(store, frame, row, bundle)


def reviewed_frames(
    store: Store, image: Mapping[str, Any], row: Row[Any], bundle: Bundle
) -> list[tuple[int, tuple[Finding, ...]]]:
    """A loop's frames with findings that nobody has rejected, for tables; none of a still."""
    if image["cine"] is None:
        return []
    marked = [mark["frame"] for mark in image["cine"]["marks"] if mark["rejected"] < mark["findings"]]
    frames = store.frames(row, marked)
    return [(frame["frame"], restored_report(frame, bundle).findings) for frame in frames]


def stored_gray(store: Store, row: Row[Any], frame: int | None = None) -> FloatArray:
    """The grey image (float32 H×W, 0..1) of a stored one, or of a loop's frame.

    Raises ``ImageError`` if it could not be read.
    """
    if frame is not None:
        return to_gray(stored_frame(store.blobs, row, frame))
    return to_gray(decode_image(store.blobs.read(row.content), f"image {row.number}"))


def stored_heat(store: Store, row: Row[Any], frame: int | None = None) -> FloatArray | None:
    """The evidence (float32, 0..1, smaller than the image) of a stored image or a loop's frame; ``None`` without it."""
    if row.heatmap is None:
        return None
    if frame is None:
        return heat_values(store.blobs.read(row.heatmap))
    with ZipFile(store.blobs.path(row.heatmap)) as archive:
        name = heat_name(frame)
        return heat_values(archive.read(name)) if name in archive.NameToInfo else None


def restored(store: Store, image: Mapping[str, Any], row: Row[Any], bundle: Bundle) -> Analysis:
    """An image's, or a loop's frame's, analysis with its findings as they are now: edited ones edited, rejected ones
    left out.

    ``image`` is as ``Store.exam`` or ``Store.frames`` describes it and ``row`` as ``Store.image`` gives it.
    """
    report = restored_report(image, bundle)
    try:
        gray = stored_gray(store, row, image["frame"])
    except SenoscopeError:
        return Analysis(replace(report, findings=(), prediction=None))
    outlines = bundle.card.outlines and image["status"] == "analysed"
    mask = _mask(report.findings, gray) if outlines else None
    said = report.prediction
    if said is not None:
        boxes, lesions = (said.boxes, None) if mask is None else (None, mask.astype(np.float32))
        heat = stored_heat(store, row, image["frame"]) if image["has_heatmap"] else None
        said = replace(said, boxes=boxes, lesion_map=lesions, heatmap=heat)
    return Analysis(replace(report, prediction=said), gray, mask)


def restored_report(image: Mapping[str, Any], bundle: Bundle) -> Report:
    """The same without pixels, masks and maps, for documents of words and numbers."""
    shown = [item for item in image["findings"] or () if item["review"] != "rejected"]
    said = [
        REVIEWED.format(number=number, review=item["review"])
        for number, item in enumerate(image["findings"] or (), 1)
        if item["review"] != "ai"
    ]
    frame, size, spacing = image["frame"], image["size"], image["spacing_mm"]
    findings = tuple(map(_finding, shown))
    return Report(
        source=f"image {image['number']}" + (f", frame {frame}" if frame else ""),
        status=image["status"],
        size=None if size is None else (size[0], size[1]),
        spacing=None if spacing is None else (spacing[0], spacing[1]),
        prediction=_prediction(image, bundle, findings),
        findings=findings,
        notes=(*image["notes"], *said),
        seconds=image["seconds"],
    )


def _prediction(image: Mapping[str, Any], bundle: Bundle, findings: Sequence[Finding]) -> Prediction | None:
    """Without maps; the boxes say that the model looks for lesions."""
    if image["status"] in ("failed", "not analysable", "waiting"):
        return None
    classes = bundle.card.classes
    shares = image["probabilities"]
    probabilities = None
    if shares is not None:
        probabilities = np.array([shares[name] for name in classes], dtype=np.float32)
    return Prediction(
        classes=classes,
        probabilities=probabilities,
        lesion_map=None,
        heatmap=None,
        uncertainty=image["uncertainty"],
        in_scope=image["status"] == "analysed",
        reasons=tuple(image["reasons"]),
        quality=tuple(image["quality"]),
        boxes=tuple(finding.box for finding in findings) if image["findings"] is not None else None,
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

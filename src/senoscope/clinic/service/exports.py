"""An exam as documents: JSON, HTML, DICOM objects. Rejected findings are left out, edited ones are as edited."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from senoscope.clinic.service.cine import is_certain
from senoscope.clinic.service.errors import ConflictError, NotProvidedError
from senoscope.clinic.service.restore import (
    bundle_of,
    restored_exam,
    restored_frames,
    restored_report,
    reviewed_frames,
)
from senoscope.clinic.service.store import Store
from senoscope.inference.bundle import Bundle
from senoscope.reports.html import open_html
from senoscope.reports.json import open_json, report_item

KEY = "Key frame of a loop of {frames} frames."
_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's own: the same objects make the same archive


def check_finished(exam: Mapping[str, Any]) -> None:
    """Raise ``ConflictError`` if images still wait: a report of half an exam would be taken for the whole."""
    if exam["state"] == "waiting":
        raise ConflictError("the exam is still being analysed", fix="ask again when its state is 'done'")


def json_document(store: Store, exam: Mapping[str, Any]) -> bytes:
    """The exam in the format of ``findings.json`` (docs/reference/findings-json.md); every frame of a loop is an item,
    whose ``source`` names it."""
    bundle = bundle_of(store, exam)
    with TemporaryDirectory() as folder:
        page = Path(folder) / "findings.json"
        with open_json(page, bundle) as document:
            for item in _items(store, exam, bundle):
                document.add(item)
        return page.read_bytes()


def _items(store: Store, exam: Mapping[str, Any], bundle: Bundle) -> Iterator[dict[str, Any]]:
    for image in exam["images"]:
        loop = image["cine"]
        for told in [image] if loop is None else store.frames(store.image(exam["id"], image["number"])):
            report = restored_report(told, bundle)
            if loop is not None and told["frame"] == loop["key_frame"]:
                report = replace(report, notes=(*report.notes, KEY.format(**loop)))
            yield report_item(report, certain=is_certain(report, bundle))


def html_document(store: Store, exam: Mapping[str, Any]) -> bytes:
    """The exam as the page that ``senoscope analyze`` writes; of a loop the key frame, and a table of frames."""
    bundle = bundle_of(store, exam)
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        with open_html(page, bundle) as report:
            for image, row, analysis in restored_exam(store, exam, bundle):
                frames = reviewed_frames(store, image, row, bundle)
                report.add(analysis, f"image-{row.number}", frames)
        return page.read_bytes()


def dicom_archive(store: Store, exam: Mapping[str, Any]) -> bytes:
    """A zip of the DICOM objects (SEG, SR, SC) of every image that came as DICOM.

    Raises ``ConflictError`` if none did, ``NotProvidedError`` without the part that writes them, and ``ImageError`` for
    a source that lacks what its objects must repeat.
    """
    try:
        from senoscope.clinic.dicom.objects import write_objects
    except ModuleNotFoundError:
        raise NotProvidedError(
            "DICOM objects cannot be written by this installation", fix="pip install 'senoscope[clinic]'"
        ) from None
    bundle = bundle_of(store, exam)
    packed, buffer = 0, io.BytesIO()
    with TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for image in exam["images"]:
            if image["kind"] != "DICOM":
                continue
            row = store.image(exam["id"], image["number"])
            frames = restored_frames(store, image, row, bundle)
            for path in write_objects(store.blobs.path(row.content), frames, bundle, Path(folder)):
                name = path.relative_to(folder).as_posix()
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
                packed += 1
    if not packed:
        raise ConflictError(
            "no image of this exam came as DICOM",
            expected="a source to refer to",
            fix="take the JSON, HTML or PDF report, or send the DICOM file",
        )
    return buffer.getvalue()

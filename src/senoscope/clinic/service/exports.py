"""An exam as documents: JSON, HTML, DICOM objects. Rejected findings are left out, edited ones are as edited."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from senoscope.clinic.service.errors import ConflictError, NotProvidedError
from senoscope.clinic.service.restore import bundle_of, restored_exam
from senoscope.clinic.service.store import Store
from senoscope.reports.html import open_html
from senoscope.reports.json import document_head, report_item

_EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's own: the same objects make the same archive


def check_finished(exam: Mapping[str, Any]) -> None:
    """Raise ``ConflictError`` if images still wait: a report of half an exam would be taken for the whole."""
    if exam["state"] == "waiting":
        raise ConflictError("the exam is still being analysed", fix="ask again when its state is 'done'")


def json_document(store: Store, exam: Mapping[str, Any]) -> bytes:
    """The exam in the format of ``findings.json`` (docs/reference/findings-json.md)."""
    bundle = bundle_of(store, exam)
    limit = bundle.card.uncertainty_limit
    items = []
    for _, analysis in restored_exam(store, exam, bundle):
        doubt = analysis.report.prediction.uncertainty if analysis.report.prediction else None
        items.append(report_item(analysis.report, certain=doubt is None or doubt < limit))
    counts = Counter(item["status"] for item in items)
    document = {**document_head(bundle), "items": items, "summary": counts}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1).encode()


def html_document(store: Store, exam: Mapping[str, Any]) -> bytes:
    """The exam as the page that ``senoscope analyze`` writes."""
    bundle = bundle_of(store, exam)
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        with open_html(page, bundle) as report:
            for row, analysis in restored_exam(store, exam, bundle):
                report.add(analysis, f"image-{row.number}")
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
        for row, analysis in restored_exam(store, exam, bundle):
            if row.kind != "DICOM":
                continue
            for path in write_objects(store.blobs.path(row.content), analysis, bundle, Path(folder)):
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

"""What a reader says of a finding: each accept, edit or reject is a new version, and every earlier one stays."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from senoscope.clinic.service.database import reading, writing
from senoscope.clinic.service.described import describe_finding, stored_result
from senoscope.clinic.service.errors import BadRequestError, ConflictError, NotFoundError
from senoscope.clinic.service.restore import stored_gray
from senoscope.clinic.service.store import Store
from senoscope.clinic.service.tables import FINDINGS
from senoscope.imaging.masks import contour_to_mask, mask_to_box
from senoscope.imaging.regions import Region
from senoscope.inference.findings import make_finding
from senoscope.reports.json import finding_item
from senoscope.schema import FloatArray

REVIEWS = {"accept": "accepted", "edit": "edited", "reject": "rejected"}
"""What a reader can do, and the review state it leads to."""

MAX_POINTS = 4000
_MIN_AREA = 4


def versions(store: Store, exam: str, image: int, number: int) -> list[dict[str, Any]]:
    """Every version of a finding, oldest first. Raises ``NotFoundError``."""
    here = (FINDINGS.c.exam == exam) & (FINDINGS.c.image == image) & (FINDINGS.c.number == number)
    with reading(store.engine) as connection:
        rows = connection.execute(select(FINDINGS).where(here).order_by(FINDINGS.c.version)).all()
    if not rows:
        raise NotFoundError("there is no such finding")
    return [describe_finding(row) for row in rows]


def review(
    store: Store,
    exam: str,
    image: int,
    number: int,
    *,
    action: str,
    author: str,
    version: int,
    contour: Sequence[tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """Add a version that accepts, edits or rejects the finding whose newest version is ``version``; that version.

    An edit brings a ``contour`` (pixels, first pixel's centre at 0, 0); size and descriptors are measured again, the
    score stays the one the model gave its own outline. Raises ``NotFoundError``, ``ConflictError`` if somebody else
    added a version first, ``BadRequestError`` for a contour that encloses nothing.
    """
    now = versions(store, exam, image, number)[-1]
    if now["version"] != version:
        raise _changed(now["version"])
    head = ("number", "version", "review", "author", "changed")
    item = {key: value for key, value in now.items() if key not in head}
    if action == "edit":
        item = _edited(store, exam, image, item, contour)
    elif contour is not None:
        raise BadRequestError(f"'{action}' takes no contour", fix="send it with action 'edit'")
    values = {
        "exam": exam,
        "image": image,
        "number": number,
        "version": version + 1,
        "review": REVIEWS[action],
        "author": author,
        "item": json.dumps(item, allow_nan=False),
        "created": time.time(),
    }
    try:
        with writing(store.engine) as connection:
            connection.execute(insert(FINDINGS).values(values))
    except IntegrityError:
        raise _changed(version + 1) from None
    return versions(store, exam, image, number)[-1]


def _edited(
    store: Store,
    exam: str,
    image: int,
    item: dict[str, Any],
    contour: Sequence[tuple[float, float]] | None,
) -> dict[str, Any]:
    row = store.image(exam, image)
    frame = item.get("frame")
    gray = stored_gray(store, row, frame)
    points = _points(contour, gray)
    mask = contour_to_mask(points, (gray.shape[0], gray.shape[1]))
    if int(mask.sum()) < _MIN_AREA or mask_to_box(mask) is None:
        raise BadRequestError(
            "the contour encloses no part of the image",
            expected=f"a simple closed line around at least {_MIN_AREA} pixels",
        )
    result = stored_result(store.blobs, row)
    spacing = (result if frame is None else result["cine"]["frames"][frame - 1])["spacing_mm"]
    region = Region(0, 0, mask, points, 0.0)
    finding = make_finding(region, gray, (spacing[0], spacing[1]) if spacing else None, item["score"])
    # The model was not asked about this outline.
    return {**finding_item(finding), "confidence": None, "frame": frame}


def _points(contour: Sequence[tuple[float, float]] | None, gray: FloatArray) -> FloatArray:
    if contour is None or not 3 <= len(contour) <= MAX_POINTS:
        raise BadRequestError("an edit needs a contour", expected=f"3 to {MAX_POINTS} points [x, y]")
    points = np.asarray(contour, dtype=np.float32)
    height, width = gray.shape
    inside: FloatArray = np.clip(points, -0.5, np.array([width - 0.5, height - 0.5], dtype=np.float32))
    return inside


def _changed(version: int) -> ConflictError:
    return ConflictError(
        f"the finding has version {version} by now",
        expected="the newest version, which the review is of",
        fix="load the exam again and review what it shows now",
    )

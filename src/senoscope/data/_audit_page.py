"""The audit's page: one HTML file with every picture inside it, that works offline and runs nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import track
from scipy import ndimage

from senoscope.data._audit_checks import Facts
from senoscope.errors import SenoscopeError
from senoscope.imaging.read import read_image, read_mask, to_gray
from senoscope.schema import RESEARCH_USE

_SHOWN = 60  # issues with pictures per check; the rest is in the table
_SIDE = 220  # longer side of a picture, px


def render(
    audit: Mapping[str, Any], meanings: Mapping[str, str], facts: Mapping[str, Facts], progress: bool
) -> str:
    """The page as HTML. ``audit`` is ``AuditResult.as_dict()``."""
    sections = []
    for check, meaning in meanings.items():
        found = [issue for issue in audit["issues"] if issue["check"] == check]
        if found:
            sections.append({"check": check, "meaning": meaning, "issues": found, "shown": found[:_SHOWN]})
    wanted = {id for section in sections for issue in section["shown"] for id in issue["ids"]}
    pictures = {
        id: _picture(facts[id])
        for id in track(
            sorted(wanted), "Drawing the page", console=Console(stderr=True), disable=not progress
        )
    }
    template = (resources.files("senoscope.data") / "audit.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True).from_string(template)
    labels = {id: fact.record.label or "no label" for id, fact in facts.items()}
    return page.render(
        audit=audit, sections=sections, pictures=pictures, labels=labels, disclaimer=RESEARCH_USE
    )


def _picture(facts: Facts) -> str:
    """A data URL of the image, small, its mask outlined in green and its text boxed in red; empty if unreadable."""
    try:
        raw = read_image(facts.record.image)
        gray = to_gray(raw)
    except SenoscopeError:
        return ""
    colours = np.repeat((np.clip(np.nan_to_num(gray), 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    if facts.mask_area:
        mask = read_mask(facts.record.masks or (), raw.shape, orientation=raw.orientation)
        thick = max(1, max(gray.shape) // 300)
        colours[mask & ~ndimage.binary_erosion(mask, iterations=thick)] = (60, 220, 120)
    image = Image.fromarray(colours)
    pen = ImageDraw.Draw(image)
    for top, bottom, left, right in facts.text:
        pen.rectangle((left, top, right - 1, bottom - 1), outline=(255, 70, 70), width=2)
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")

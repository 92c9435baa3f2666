"""The picture a reader sees anywhere: findings and scores burnt in, as Secondary Capture (DICOM PS3.3 A.8)."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from senoscope.clinic.dicom.skeleton import Making
from senoscope.imaging.draw import overlay
from senoscope.schema import RESEARCH_USE, FloatArray, Report

_INK, _PAPER = (255, 214, 102), (17, 19, 24)


def make_capture(making: Making, report: Report, gray: FloatArray, content: str, frame: int = 0) -> Dataset:
    """The image (frame 0: a still) with contours, scores and the research-use label burnt in, 8-bit RGB."""
    import highdicom as hd

    made = hd.sc.SCImage(
        pixel_array=np.asarray(labelled(report, gray, making.bundle.title, frame)),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=making.header.StudyInstanceUID,
        laterality=making.source.laterality if making.source.laterality in ("L", "R") else None,
        patient_orientation=("L", "F"),  # highdicom wants one; the source's, or none, is put in its place
        **making.identifiers("SC", [content]),
    )
    making.finish(made, "Computed overlay")
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.Laterality = making.source.laterality if making.source.laterality in ("L", "R") else ""
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = made.ContentDate, made.ContentTime
    made.PatientOrientation = making.header.get("PatientOrientation", "")
    made.BurnedInAnnotation = "YES"
    made.DerivationDescription = f"Contours and scores burnt in. {RESEARCH_USE}"
    made.SourceImageSequence = [_reference(making, frame)]
    return made


def labelled(report: Report, gray: FloatArray, model: str, frame: int = 0) -> Image.Image:
    """The overlay with a band below it that says what it is; never over the image itself."""
    picture = overlay(gray, report.findings)
    place = f"frame {frame}, " if frame else ""
    found = len(report.findings)
    count = "no finding" if not found else f"{found} finding{'s' if found > 1 else ''}"
    lines = ("RESEARCH USE ONLY, NOT A MEDICAL DEVICE", f"{model}: {place}{count}")
    size = max(10, round(max(picture.size) / 40))
    font = _fitting(lines, size, picture.width - 8)
    step = round(float(font.size) * 1.5)
    sheet = Image.new("RGB", (picture.width, picture.height + step * len(lines) + 6), _PAPER)
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        draw.text((4, picture.height + 3 + step * index), line, _INK, font)
    return sheet


def _fitting(lines: tuple[str, ...], size: int, width: int) -> ImageFont.FreeTypeFont:
    """The largest type up to ``size`` in which every line fits."""
    while True:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - the bitmap fallback has no sizes
        if size <= 6 or max(font.getlength(line) for line in lines) <= width:
            return font
        size -= 1


def _reference(making: Making, frame: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = making.header.SOPClassUID
    item.ReferencedSOPInstanceUID = making.header.SOPInstanceUID
    if frame:
        item.ReferencedFrameNumber = frame
    return item

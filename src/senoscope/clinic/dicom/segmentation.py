"""Findings' outlines as a BINARY segmentation object (DICOM PS3.3 A.51), one per frame.

Ultrasound has no frame of reference, and viewers (OHIF) cannot draw a segmentation without one. A synthetic plane is
therefore stated: the image's own plane, its upper-left pixel at the origin, rows along x. It says nothing about
where in a patient the plane lies; the frame of reference is shared with no other object but its own series.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes

from senoscope.clinic.dicom import identity
from senoscope.clinic.dicom.skeleton import Making
from senoscope.imaging.draw import PALETTE, score_text
from senoscope.imaging.masks import contour_to_mask
from senoscope.schema import RESEARCH_USE, BoolArray, Finding, Report

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

_STILL = "1.2.840.10008.5.1.4.1.1.6.1"  # Ultrasound Image Storage
NO_SPACING = "pixel spacing unknown: 1 mm is a placeholder"


def outlined(report: Report) -> tuple[Finding, ...]:
    """The findings that have an outline of their own; a detector's boxes are no segmentation."""
    return tuple(finding for finding in report.findings if finding.area_px is not None)


def segment_mask(finding: Finding, shape: tuple[int, int]) -> BoolArray:
    """The pixels whose centres lie inside a finding's contour, bool H×W: exactly what the segment holds."""
    return contour_to_mask(finding.contour, shape)


def make_segmentation(making: Making, report: Report, content: str, frame: int = 0) -> Dataset | None:
    """The segmentation of one frame (0: a still), one segment per finding; ``None`` if nothing is outlined."""
    import highdicom as hd

    findings, shape = outlined(report), (int(making.header.Rows), int(making.header.Columns))
    masks = [segment_mask(finding, shape) for finding in findings]
    kept = [(finding, mask) for finding, mask in zip(findings, masks, strict=True) if mask.any()]
    if not kept:
        return None
    spacing = report.spacing or (1.0, 1.0)
    note = "" if report.spacing else f" {NO_SPACING}."
    made = hd.seg.Segmentation(
        source_images=[_in_a_plane(making, spacing)],
        pixel_array=np.stack([mask for _, mask in kept], axis=-1)[None].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=_descriptions(making, [finding for finding, _ in kept], frame),
        manufacturer_model_name=making.bundle.card.name[:64],
        software_versions="senoscope",
        device_serial_number=making.bundle.weights_hash[:64],
        content_label="FINDINGS",
        content_description="Computed outlines, research use only"[:64],
        content_creator_name="Senoscope^",
        omit_empty_frames=False,
        **making.identifiers("SEG", [content], frame),
    )
    making.finish(made, "Computed outlines")
    made.ImageComments = f"{RESEARCH_USE} Synthetic plane: no patient position is meant.{note}"
    _name_source(made, making, frame)
    return made


def tracking_uid(making: Making, finding: int, frame: int) -> str:
    """The same finding's identifier in the segmentation and in the structured report."""
    return identity.uid(
        "finding", making.header.SOPInstanceUID, str(frame), str(finding), identity.run_key(making.bundle)
    )


def _in_a_plane(making: Making, spacing: tuple[float, float]) -> Dataset:
    """The skeleton with the synthetic plane; spacing is (row, column) in mm."""
    image = copy.deepcopy(making.skeleton)
    image.SOPClassUID = _STILL  # highdicom takes no multi-frame ultrasound; the true class is put back
    image.FrameOfReferenceUID = identity.uid("frame of reference", making.header.SeriesInstanceUID)
    image.PositionReferenceIndicator = ""
    image.ImagePositionPatient = [0.0, 0.0, 0.0]
    image.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    image.PixelSpacing = [_decimal(spacing[0]), _decimal(spacing[1])]
    image.SliceThickness = 1.0  # a plane has none; readers of segmentations expect a number
    return image


def _decimal(value: float) -> float:
    """A number that fits the sixteen characters of a decimal string."""
    return float(f"{value:.9g}")


def _descriptions(making: Making, findings: Sequence[Finding], frame: int) -> list[SegmentDescription]:
    import highdicom as hd
    from highdicom.color import CIELabColor

    card = making.bundle.card
    algorithm = hd.AlgorithmIdentificationSequence(
        name=card.name[:64],
        family=codes.DCM.ArtificialIntelligence,
        version=making.algorithm_version,
        source=identity.MANUFACTURER,
        parameters={"mask threshold": f"{card.mask_threshold:g}", "minimum area": f"{card.min_area:g}"},
    )
    items = []
    for number, finding in enumerate(findings, start=1):
        score = "no score" if finding.score is None else score_text(finding.score)
        item = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"Finding {number} ({score})",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_id=f"Finding {number}",
            tracking_uid=tracking_uid(making, number, frame),
            anatomic_regions=[codes.SCT.Breast],
            display_color=CIELabColor.from_rgb(*PALETTE[(number - 1) % len(PALETTE)]),
        )
        item.SegmentDescription = RESEARCH_USE
        items.append(item)
    return items


def _name_source(made: Dataset, making: Making, frame: int) -> None:
    """Put the source's class into every reference to it, and the frame that was outlined."""
    for element in made.iterall():
        if element.keyword not in ("SourceImageSequence", "ReferencedInstanceSequence"):
            continue
        element.value = [
            copy.deepcopy(item) for item in element.value
        ]  # highdicom shares them between sequences
        for item in element.value:
            item.ReferencedSOPClassUID = making.header.SOPClassUID
            if frame and element.keyword == "SourceImageSequence":
                item.ReferencedFrameNumber = frame

"""One finding as a measurement group (TID 1501): sizes and score with their coordinates, descriptors as codes.

Every measurement carries exactly one set of coordinates: viewers take the first for granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from senoscope.clinic.dicom.segmentation import tracking_uid
from senoscope.clinic.dicom.skeleton import Making
from senoscope.schema import Finding, FloatArray, Report

if TYPE_CHECKING:
    from highdicom.sr import Measurement, MeasurementsAndQualitativeEvaluations

PIXELS = Code("{pixels}", "UCUM", "pixels")
SQUARE_MM = Code("mm2", "UCUM", "square millimeter")
MM = Code("mm", "UCUM", "millimeter")
PERCENT = Code("%", "UCUM", "percent")
_SHAPE, _ORIENTATION, _MARGIN = codes.SCT.Shape, codes.DCM.Orientation, codes.DCM.Margins
_WORDS = {
    "oval": Code("84360004", "SCT", "Ovoid shape (Oval)"),
    "round": Code("42700002", "SCT", "Round shape"),
    "irregular": Code("49608001", "SCT", "Irregular"),
    "parallel": codes.DCM.Parallel,
    "not parallel": codes.DCM.NotParallel,
    "circumscribed": Code("129738007", "SCT", "Circumscribed lesion"),
    "not circumscribed": Code("RID34355", "RADLEX", "Non-circumscribed margin"),
}
_SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right, "B": codes.SCT.Bilateral}


def long_axis(contour: FloatArray, aspect: float) -> FloatArray:
    """The two points (x, y) of a contour that lie farthest apart where a column is ``aspect`` rows wide."""
    points = np.asarray(contour, dtype=np.float64)
    with suppress(QhullError):  # a line is its own hull
        points = points[ConvexHull(points).vertices]
    away = squareform(pdist(points * [aspect, 1.0]))
    first, second = np.unravel_index(int(away.argmax()), away.shape)
    return np.asarray(points[[first, second]], dtype=np.float32)


def finding_groups(
    making: Making, report: Report, frame: int
) -> Iterator[MeasurementsAndQualitativeEvaluations]:
    """One group per finding of a frame (0: a still)."""
    import highdicom as hd

    algorithm = hd.sr.AlgorithmIdentification(
        name=making.bundle.card.name,
        version=making.algorithm_version,
        parameters=[f"weights SHA-256 {making.bundle.weights_hash}", *_thresholds(making)],
    )
    for number, finding in enumerate(report.findings, start=1):
        name = f"Finding {number}" + (f", frame {frame}" if frame else "")
        side = _SIDES.get(making.source.laterality or "")
        yield hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=tracking_uid(making, number, frame), identifier=name
            ),
            finding_type=codes.SCT.Lesion,
            algorithm_id=algorithm,
            finding_sites=[hd.sr.FindingSite(anatomic_location=codes.SCT.Breast, laterality=side)],
            measurements=_measurements(making, report, frame, finding),
            qualitative_evaluations=_descriptors(finding),
        )


def _thresholds(making: Making) -> list[str]:
    points = making.bundle.card.operating_points
    said = [f"{name}.{point} {value:g}" for name, named in points.items() for point, value in named.items()]
    return [f"mask threshold {making.bundle.card.mask_threshold:g}", *said]


def _measurements(making: Making, report: Report, frame: int, finding: Finding) -> list[Measurement]:
    """Area and long axis in mm² and mm only where spacing is known, else in pixels; the score in percent."""
    import highdicom as hd

    spacing = report.spacing
    aspect = spacing[1] / spacing[0] if spacing else 1.0
    axis = long_axis(finding.contour, aspect)

    def measured(name: Code, value: float, unit: Code, points: FloatArray) -> Measurement:
        return hd.sr.Measurement(
            name=name,
            value=round(float(value), 4),
            unit=unit,
            referenced_coordinates=[_coordinates(making, frame, points)],
        )

    made, outline = [], _closed(finding.contour)
    if finding.area_px is not None:
        known = finding.area_mm2 is not None
        area = finding.area_mm2 if finding.area_mm2 is not None else finding.area_px
        made.append(measured(codes.SCT.Area, area, SQUARE_MM if known else PIXELS, outline))
    scale = np.array([spacing[1], spacing[0]] if spacing else [1.0, 1.0])
    length = float(np.hypot(*((axis[1] - axis[0]) * scale)))
    made.append(measured(codes.SCT.LongAxis, length, MM if spacing else PIXELS, axis))
    if finding.score is not None:
        made.append(measured(codes.DCM.ProbabilityOfCancer, 100 * finding.score, PERCENT, outline))
    return made


def _closed(contour: FloatArray) -> FloatArray:
    return contour if np.array_equal(contour[0], contour[-1]) else np.vstack([contour, contour[:1]])


def _coordinates(making: Making, frame: int, points: FloatArray) -> Any:
    """Contour points in the standard's frame: the upper-left pixel's corner, not its centre, is 0\\0 (C.18.6.1.2)."""
    import highdicom as hd

    edge = np.array([making.header.Columns, making.header.Rows], dtype=np.float32)
    return hd.sr.CoordinatesForMeasurement(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.clip(points + np.float32(0.5), 0, edge),
        source_image=hd.sr.SourceImageForRegion(
            referenced_sop_class_uid=making.header.SOPClassUID,
            referenced_sop_instance_uid=making.header.SOPInstanceUID,
            referenced_frame_numbers=[frame] if frame else None,
        ),
    )


def _descriptors(finding: Finding) -> list[Any]:
    import highdicom as hd

    said = ((_SHAPE, finding.shape), (_ORIENTATION, finding.orientation), (_MARGIN, finding.margin))
    return [
        hd.sr.QualitativeEvaluation(name=name, value=_WORDS[word]) for name, word in said if word in _WORDS
    ]

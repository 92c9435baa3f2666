"""What a reader must know beside the measurements, as the "Qualitative Evaluations" of TID 1500.

How the algorithm did, as a code (CID 6047); the class of the whole image, why nothing was scored and all notes, as
text: a measurement group without coordinates makes viewers stumble.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from senoscope import __version__
from senoscope.clinic.dicom.skeleton import Making
from senoscope.schema import RESEARCH_USE, Report

_FOUND = Code("111242", "DCM", "All algorithms succeeded; with findings")
_NOTHING = Code("111241", "DCM", "All algorithms succeeded; without findings")
_NOT_SCORED = Code("111245", "DCM", "No algorithms succeeded; without findings")


@dataclass(frozen=True, slots=True)
class Told:
    """What the report says of one frame: 0 for a still, else counted from 1."""

    frame: int
    report: Report


def evaluations(making: Making, told: Sequence[Told], key: int) -> Any:
    """How the algorithm did (CID 6047), and everything a reader must know, as text."""
    import highdicom as hd

    contains = hd.sr.RelationshipTypeValues.CONTAINS
    scored = [one for one in told if one.report.status == "analysed"]
    found = any(one.report.findings for one in told)
    outcome = (_FOUND if found else _NOTHING) if scored else _NOT_SCORED
    box = container(Code("C0034375", "UMLS", "Qualitative Evaluations"))
    box.ContentSequence.append(
        hd.sr.CodeContentItem(
            name=codes.DCM.CADProcessingAndFindingsSummary, value=outcome, relationship_type=contains
        )
    )
    for text in _texts(making, told, key):
        box.ContentSequence.append(
            hd.sr.TextContentItem(name=codes.DCM.Comment, value=text[:1024], relationship_type=contains)
        )
    return box


def container(name: Code) -> Any:
    """An empty container of that name."""
    import highdicom as hd

    item = hd.sr.ContainerContentItem(name=name, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
    item.ContentSequence = hd.sr.ContentSequence()
    return item


def _texts(making: Making, told: Sequence[Told], key: int) -> list[str]:
    card = making.bundle.card
    said = [RESEARCH_USE, f"{making.bundle.title}, senoscope {__version__}. Not seen by a physician."]
    if card.calibration and card.calibration.prevalence:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in card.calibration.prevalence.items())
        said.append(f"Probabilities hold for a population of {shares}.")
    if key:
        said.append(f"Key frame: {key}, the frame whose lesion has the highest score.")
    for one in told:
        place = f"Frame {one.frame}: " if one.frame else ""
        said += [place + text for text in _about(one.report)]
    return list(dict.fromkeys(said))


def _about(report: Report) -> Iterator[str]:
    prediction = report.prediction
    if report.status != "analysed":
        yield f"Not scored ({report.status}): " + "; ".join(
            prediction.reasons if prediction is not None and prediction.reasons else report.notes
        )
        return
    if not report.findings:
        yield (
            "No finding."
            if prediction is None or prediction.locates
            else "This model does not locate lesions."
        )
    if prediction is not None:
        if prediction.probabilities is not None:
            pairs = zip(prediction.classes, prediction.probabilities, strict=True)
            yield (
                "Whole image: "
                + ", ".join(f"{name} {100 * float(value):.1f} %" for name, value in pairs)
                + "."
            )
        yield from prediction.quality
    yield from report.notes

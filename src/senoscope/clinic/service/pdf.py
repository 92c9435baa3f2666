"""An exam as a PDF to print or file: one page per image, nothing that names the patient."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from fpdf import FPDF
from fpdf.enums import Align
from fpdf.fonts import FontFace

from senoscope import __version__
from senoscope.clinic.service.restore import bundle_of, restored_exam
from senoscope.clinic.service.store import Store
from senoscope.imaging.draw import overlay, score_text
from senoscope.inference.analyzer import Analysis
from senoscope.inference.bundle import Bundle
from senoscope.schema import RESEARCH_USE, Finding, Report

_WIDTH, _TALLEST = 180.0, 130.0  # mm
_SHARP = 1400  # px of the longer side
_SIGNS = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "…": "...", "≥": ">=", "≤": "<=", "’": "'", "“": '"', "”": '"'}
)


def pdf_document(store: Store, exam: Mapping[str, Any]) -> bytes:
    """The exam's report. Its text is Latin, the only script that every PDF reader has a font for."""
    bundle = bundle_of(store, exam)
    page = _Pages(bundle, exam["id"])
    for row, analysis in restored_exam(store, exam, bundle):
        page.add_image(row.number, analysis)
    return bytes(page.output())


class _Pages(FPDF):
    def __init__(self, bundle: Bundle, exam: str) -> None:
        super().__init__("P", "mm", "A4")
        self._bundle, self._exam = bundle, exam
        self.set_margins(15, 14)
        self.set_auto_page_break(True, 20)
        self.set_title("Breast image report")
        self.set_creator(f"Senoscope {__version__}")
        self.set_lang("en")

    def header(self) -> None:
        self.set_font("Helvetica", "B", 10)
        self.set_fill_color(248, 240, 214)
        self.cell(0, 7, RESEARCH_USE, align="C", fill=True, new_x="LMARGIN", new_y="NEXT")
        self.ln(3)

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font("Helvetica", "", 8)
        told = f"{RESEARCH_USE} Senoscope {__version__}, {self._bundle.title}, exam {self._exam}, page {self.page_no()}"
        self.cell(0, 5, told, align="C")

    def add_image(self, number: int, analysis: Analysis) -> None:
        """A page on one image."""
        report = analysis.report
        self.add_page()
        self.set_font("Helvetica", "B", 15)
        self.cell(0, 8, f"Image {number}", new_x="LMARGIN", new_y="NEXT")
        self._line(_facts(report, self._bundle))
        if analysis.gray is not None:
            picture = overlay(analysis.gray, report.findings, size=_SHARP)
            width = min(_WIDTH, _TALLEST * picture.width / picture.height)
            self.image(picture, x=Align.C, w=width, alt_text=f"Image {number} with its findings")
            self.ln(3)
        self._findings(report.findings)
        remarks = [*(report.prediction.reasons if report.prediction else ()), *report.notes]
        for remark in [*remarks, *(report.prediction.quality if report.prediction else ())]:
            self._line(f"- {remark}")

    def _findings(self, findings: Sequence[Finding]) -> None:
        if not findings:
            self._line("No finding is reported.")
            return
        self.set_font("Helvetica", "", 9.5)
        heads = FontFace(emphasis="BOLD", fill_color=(238, 242, 246))
        with self.table(headings_style=heads, col_widths=(1, 2, 5, 2, 2), line_height=6) as table:
            table.row(("No.", "Malignancy", "Shape, orientation, margin", "Largest", "Area"))
            for number, finding in enumerate(findings, 1):
                table.row((str(number), *map(_latin, _cells(finding))))
        self.ln(3)

    def _line(self, text: str) -> None:
        self.set_font("Helvetica", "", 9.5)
        self.multi_cell(0, 5, _latin(text), new_x="LMARGIN", new_y="NEXT")
        self.ln(1)


def _facts(report: Report, bundle: Bundle) -> str:
    said = [f"Status: {report.status}."]
    prediction = report.prediction if report.status == "analysed" else None
    if prediction is not None and prediction.probabilities is not None:
        shares = ", ".join(
            f"{name} {score_text(float(share))}"
            for name, share in zip(prediction.classes, prediction.probabilities, strict=True)
        )
        said.append(f"Probabilities: {shares}.")
    said.append(f"Model {bundle.title}, SHA-256 {bundle.weights_hash[:16]}.")
    said.append("Preliminary; no BI-RADS category is given.")
    return " ".join(said)


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    words = ", ".join(word for word in (finding.shape, finding.orientation, finding.margin) if word)
    measures = finding.measures
    largest = "not given"
    if "max_diameter_mm" in measures:
        largest = f"{measures['max_diameter_mm']:.1f} mm"
    elif "max_diameter_px" in measures:
        largest = f"{measures['max_diameter_px']:.0f} px"
    area = f"{finding.area_px} px" if finding.area_px is not None else "not given"
    if finding.area_mm2 is not None:
        area = f"{finding.area_mm2:.1f} mm²"
    return (
        "no score" if finding.score is None else score_text(finding.score),
        words or "not given",
        largest,
        area,
    )


def _latin(text: str) -> str:
    """The text in the fonts' own character set; what it lacks becomes '?'."""
    plain = unicodedata.normalize("NFC", text.translate(_SIGNS))
    return plain.encode("latin-1", "replace").decode("latin-1")

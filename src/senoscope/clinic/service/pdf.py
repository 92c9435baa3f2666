"""An exam as a PDF to print or file: one page per image, nothing that names the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, cast

from fpdf import FPDF
from fpdf.enums import Align
from fpdf.fonts import FontFace, TTFFont

from senoscope import __version__
from senoscope.clinic.service.restore import bundle_of, restored_exam, reviewed_frames
from senoscope.clinic.service.script import (
    has_right_to_left,
    in_order,
    is_right_to_left,
    joined,
    known,
    set_apart,
)
from senoscope.clinic.service.store import Store
from senoscope.imaging.draw import overlay, score_text
from senoscope.inference.analyzer import Analysis
from senoscope.inference.bundle import Bundle
from senoscope.inference.cine import leading
from senoscope.schema import RESEARCH_USE, Finding, Report

_WIDTH, _TALLEST = 180.0, 130.0  # mm
_SHARP = 1400  # px of the longer side
_FOLDER = Path(str(resources.files("senoscope.clinic.service") / "fonts"))
_TEXT, _HANGUL = "Text", "Hangul"
_FONTS = {_TEXT: "DejaVuSans.ttf", _HANGUL: "NanumSquareR.ttf"}
_HANGUL_CODES = (*range(0x3131, 0x318F), *range(0xAC00, 0xD7A4))


def pdf_document(store: Store, exam: Mapping[str, Any]) -> bytes:
    """The exam's report. Fonts for Latin, Greek, Cyrillic, Arabic, Persian, Hebrew and Korean come with it; what they
    lack is shown as U+FFFD."""
    bundle = bundle_of(store, exam)
    page = _Pages(bundle, exam["id"])
    for image, row, analysis in restored_exam(store, exam, bundle):
        page.add_image(row.number, analysis, reviewed_frames(store, image, row, bundle))
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
        for name, file in _FONTS.items():
            self.add_font(name, fname=_FOLDER / file)
        self.set_fallback_fonts([_HANGUL])
        latin, korean = (cast(TTFFont, self.fonts[name.lower()]).cmap for name in _FONTS)
        # Of the Korean font's other signs some are empty.
        self._characters = frozenset(latin) | frozenset(korean).intersection(_HANGUL_CODES)

    def header(self) -> None:
        self.set_font(_TEXT, "", 9.5)
        self.set_fill_color(248, 240, 214)
        self.cell(0, 7, RESEARCH_USE, align="C", fill=True, new_x="LMARGIN", new_y="NEXT")
        self.ln(3)

    def footer(self) -> None:
        self.set_y(-14)
        self.set_font(_TEXT, "", 7)
        told = f"{RESEARCH_USE} Senoscope {__version__}, {self._bundle.title}, exam {self._exam}, page {self.page_no()}"
        self.cell(0, 5, self._shown(told), align="C")

    def add_image(
        self, number: int, analysis: Analysis, frames: Sequence[tuple[int, Sequence[Finding]]]
    ) -> None:
        """A page on one image, or on a loop's key frame with a table of its ``frames`` with findings."""
        report = analysis.report
        self.add_page()
        self.set_font(_TEXT, "", 15)
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
        if frames:
            self._frames(frames)

    def _findings(self, findings: Sequence[Finding]) -> None:
        if not findings:
            self._line("No finding is reported.")
            return
        self.set_font(_TEXT, "", 8.5)
        heads = FontFace(emphasis="", fill_color=(225, 232, 239))
        with self.table(headings_style=heads, col_widths=(1, 2, 5, 2, 2), line_height=6) as table:
            table.row(("No.", "Malignancy", "Shape, orientation, margin", "Largest", "Area"))
            for number, finding in enumerate(findings, 1):
                table.row((str(number), *map(self._shown, _cells(finding))))
        self.ln(3)

    def _frames(self, frames: Sequence[tuple[int, Sequence[Finding]]]) -> None:
        self.set_font(_TEXT, "", 8.5)
        heads = FontFace(emphasis="", fill_color=(225, 232, 239))
        with self.table(headings_style=heads, col_widths=(2, 2, 3, 2, 2), line_height=6) as table:
            table.row(("Frame", "Findings", "Highest malignancy", "Its largest", "Its area"))
            for frame, findings in frames:
                score, _, largest, area = _cells(leading(findings))
                table.row((str(frame), str(len(findings)), score, largest, area))

    def _line(self, text: str) -> None:
        """A paragraph. Lines are broken in the order of reading, and then each is put in the order of drawing."""
        self.set_font(_TEXT, "", 8.5)
        plain = joined(known(text, self._characters), self._characters)
        at_right = is_right_to_left(plain)
        lines = cast(list[str], self.multi_cell(0, 5, plain, align="L", dry_run=True, output="LINES"))
        for line in lines:
            shown = in_order(line, at_right) if has_right_to_left(line) else line
            self.cell(0, 5, shown, align="R" if at_right else "L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1)

    def _shown(self, text: str) -> str:
        """A single line as its glyphs are drawn."""
        plain = joined(known(text, self._characters), self._characters)
        return in_order(plain, is_right_to_left(plain)) if has_right_to_left(plain) else plain


def _facts(report: Report, bundle: Bundle) -> str:
    said = [f"Status: {report.status}."]
    prediction = report.prediction if report.status == "analysed" else None
    if prediction is not None and prediction.probabilities is not None:
        shares = ", ".join(
            f"{set_apart(name)} {score_text(float(share))}"
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

"""The PDF: text of any script can be read in it, what no font has is seen, and a loop's frames are told."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fpdf", reason="needs the [clinic] extra")

from senoscope.clinic.service.pdf import _Pages
from senoscope.clinic.service.script import MISSING, in_order, joined, known, set_apart
from senoscope.inference.analyzer import Analysis, Analyzer
from senoscope.schema import Prediction, Report

KOREAN, ARABIC, PERSIAN, HEBREW = "악성 (뷁)", "ورم خبيث", "می\u200cخواهم", "שאת"
EVERYTHING = range(0x110000)


@pytest.mark.parametrize(
    ("word", "shapes"),
    [
        # By the joining rules of Unicode 9.2: seen initial, lam with alef final, meem alone (alef joins to the right)
        ("\u0633\u0644\u0627\u0645", "\ufeb3\ufefc\ufee1"),
        # meem initial, Farsi yeh final (the non-joiner), khah initial, waw final, alef alone, heh initial, meem final
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\ufee3\ufbfd\u200c\ufea7\ufeee\ufe8d\ufeeb\ufee2",
        ),
        # marks do not part letters: beh initial, seen medial, meem final
        ("\u0628\u0650\u0633\u0652\u0645", "\ufe91\u0650\ufeb4\u0652\ufee2"),
        ("\u0644\u0627", "\ufefb"),
        ("Latin 한글", "Latin 한글"),
    ],
)
def test_letters_take_the_shape_their_neighbours_give(word: str, shapes: str) -> None:
    assert joined(word, EVERYTHING) == shapes


def test_what_is_read_from_the_right_is_drawn_from_the_left() -> None:
    # UAX #9: digits keep their order, brackets are mirrored, the Latin word stays as it is.
    assert in_order("\u05d0\u05d1 (ab) 12", True) == "12 (ab) \u05d1\u05d0"
    assert in_order("score (\u05d0\u05d1) 12 %", False) == "score (\u05d1\u05d0) 12 %"
    shares = f"{set_apart(HEBREW)} 30%, {set_apart(HEBREW)} 50%"
    assert in_order(shares, False) == f"{HEBREW[::-1]} 30%, {HEBREW[::-1]} 50%"
    assert in_order("\u05d0\u200f\u200c\u05d1", True) == "\u05d1\u05d0"


def test_what_no_font_has_is_seen_and_nothing_fails() -> None:
    assert known("a\ud800b\x00c\td\U0001f600", range(0x3000)) == f"a{MISSING}bc d{MISSING}"
    assert known("e\u0301", range(0x3000)) == "\u00e9"


def text_of(pdf: bytes, folder: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("needs pdftotext")
    (folder / "a.pdf").write_bytes(pdf)
    done = subprocess.run(
        ["pdftotext", "-raw", "-enc", "UTF-8", str(folder / "a.pdf"), "-"], check=True, capture_output=True
    )
    plain = unicodedata.normalize("NFKC", done.stdout.decode())
    return "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")


def test_text_of_every_script_is_in_the_page(analyzer: Analyzer, tmp_path: Path) -> None:
    said = Prediction(
        classes=(KOREAN, ARABIC, PERSIAN),
        probabilities=np.array([0.2, 0.3, 0.5], dtype=np.float32),
        lesion_map=None,
        heatmap=None,
        uncertainty=0.5,
        reasons=(f"{HEBREW}: (ab) 12", "中 \U00020000 Größe ≥ 3 mm² – „ж“"),
    )
    report = Report(source="image 1", status="analysed", prediction=said, notes=(" ".join([ARABIC] * 60),))
    page = _Pages(analyzer.bundle, "0" * 32)
    page.add_image(1, Analysis(report), [])
    text = text_of(bytes(page.output()), tmp_path)
    for word in (KOREAN, ARABIC, PERSIAN.replace("\u200c", ""), HEBREW, "Größe ≥ 3 mm2 – „ж“"):
        assert word in text, word
    assert text.count(MISSING) == 2
    assert text.count("خبيث") == 61  # also where lines were broken
    assert "not a medical device" in text
    assert "None" not in text


def test_a_loop_is_its_key_frame_and_a_table(local: Any, fake: Any, stills: Any, tmp_path: Path) -> None:
    radii = [30, None, 40]
    drawn = [fake.draw_exam(*([(120, 130, radius, 0.1)] if radius else [])) for radius in radii]
    data = stills.file_bytes(stills.loop((np.stack(drawn) * 255).astype("uint8")))
    exam = local.send(data)
    local.work()
    text = text_of(local.client.get(f"/api/exams/{exam}/report.pdf").content, tmp_path)
    assert "A loop of 3 frames: frame 3 is shown" in text
    rows = [line.split() for line in text.splitlines() if line.split()[:2] in (["1", "1"], ["3", "1"])]
    assert [row[0] for row in rows] == ["1", "3"]
    told = local.client.get(f"/api/exams/{exam}/images/1/frames/1").json()["findings"][0]
    assert rows[0][2] == f"{told['score']:.0%}"

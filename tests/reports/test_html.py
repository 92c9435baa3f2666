from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from senoscope.reports.html import _percent, _scale_bar
from senoscope.reports.pictures import embed_gray, embed_heat, svg_path
from senoscope.schema import Report

VOID = {"meta", "img", "br", "path", "circle", "link", "input", "hr"}


class Checker(HTMLParser):
    """Collects ids, links and resources, and checks that elements nest."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.resources: list[str] = []
        self.anchors: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag not in VOID:
            self.stack.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        for key in ("src", "href", "data", "action"):
            if values.get(key):
                (self.anchors if str(values[key]).startswith("#") else self.resources).append(
                    str(values[key])
                )
        assert not [key for key in values if key.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    return checker


def test_the_page_is_well_formed_and_holds_everything_itself(checked: Checker) -> None:
    assert checked.stack == []
    assert len(checked.ids) == len(set(checked.ids))
    assert all(resource.startswith("data:image/") for resource in checked.resources)
    assert {anchor[1:] for anchor in checked.anchors} <= set(checked.ids)
    assert not {"link", "iframe", "object", "form"} & set(checked.tags)


def test_the_policy_allows_this_script_and_no_other(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


def test_names_are_escaped(page: str) -> None:
    assert "<img src=x" not in page


def test_what_a_reader_needs_is_on_the_page(page: str, fake_folder) -> None:
    assert page.count("For research use only, not a medical device.") >= 2
    for words in (
        "1 file could not be read",
        "broken.png",
        "cut short",
        "No score: out of scope",
        "Doppler",
        "No score: not analysable",
        "same brightness",
        "90 % sensitivity (0.30)",
        "temperature 1.5, 100 images",
        "50 % were benign",
        "A toy: it sees darkness",
        "0.400 – 0.600",
        "log-odds",
    ):
        assert words in page, words


def test_withheld_images_show_no_score(page: str) -> None:
    sections = re.findall(r"<article.*?</article>", page, re.DOTALL)
    assert len(sections) == 6  # all but the broken file
    for section in sections:
        withheld = "No score" in section
        assert withheld == ("probability of malignancy" not in section)
        assert withheld == ('class="heat"' not in section)
        if withheld:
            assert "<path" not in section


def test_everything_the_ai_says_can_be_hidden(page: str) -> None:
    """Outside elements that the key hides, no class, probability or outline is left of an analysed image."""
    (section,) = [part for part in re.findall(r"<article.*?</article>", page, re.DOTALL) if ">deep<" in part]
    start = section.index('<div class="ai">')
    shown = section[:start] + section[section.index('<p class="away">') :]
    shown = re.sub(
        r"<svg.*?</svg>|<span class=\"tag.*?</span>|<figcaption.*?</figcaption>", "", shown, flags=re.DOTALL
    )
    assert "malignant" not in shown
    assert "%" not in re.sub(r"<[^>]*>", "", shown)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "< 1 %"), (0.004, "< 1 %"), (0.126, "13 %"), (0.99, "99 %"), (0.999, "> 99 %"), (1, "> 99 %")],
)
def test_probabilities_never_read_as_certainty(value: float, text: str) -> None:
    assert _percent(value) == text


def test_outlines_lie_on_pixel_corners() -> None:
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], np.float32)
    assert svg_path(square) == "M0.5 0.5L2.5 0.5L2.5 2.5L0.5 2.5Z"


def test_embedded_pictures_show_the_pixels(fake: ModuleType) -> None:
    gray = fake.draw_exam((120, 130, 40, 0.02), size=(300, 500))
    data = base64.b64decode(embed_gray(gray).partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(data))).astype(float) / 255
    assert shown.shape == (300, 500)
    assert np.abs(shown - gray).mean() < 0.03
    heat = np.full((300, 500), 0.5, np.float32)
    heat[:, 250:] = 1
    layer = np.asarray(Image.open(io.BytesIO(base64.b64decode(embed_heat(heat).partition(",")[2]))))
    assert layer[50, 20, 3] < 5
    assert layer[50, -20, 3] > 150


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    report = Report(source="x", status="analysed", size=(400, 300), spacing=(0.3, 0.1))  # 40 mm wide
    bar = _scale_bar(report)
    assert bar is not None
    assert bar["mm"] == 10
    assert bar["percent"] / 100 * 400 * 0.1 == pytest.approx(bar["mm"])
    assert _scale_bar(Report(source="x", status="analysed", size=(400, 300))) is None

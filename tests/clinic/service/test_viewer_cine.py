"""A loop in a real browser: opened at its key frame, stepped, played and reviewed by keys alone; exams are deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from senoscope.clinic.service.tokens import new_token

FRAMES, KEY, WITH_FINDING = 12, 7, (3, 7, 8)


@pytest.fixture
def cine(fake: ModuleType, stills: ModuleType) -> bytes:
    """Twelve frames: lesions in three of them, the largest in the seventh."""
    size = {3: 30, 7: 50, 8: 40}
    discs = [((120, 130, size[n], 0.1),) if n in size else () for n in range(1, FRAMES + 1)]
    drawn = [(fake.draw_exam(*disc, seed=n) * 255).astype("uint8") for n, disc in enumerate(discs)]
    data: bytes = stills.file_bytes(stills.loop(np.stack(drawn)))
    return data


def shown(page: Any, frame: int) -> None:
    """Wait until that frame is drawn."""
    page.wait_for_selector(f"html[data-drawn$='/1/{frame}']")
    assert page.locator("#frame-told").inner_text() == f"{frame} / {FRAMES}"


def upload(page: Any, name: str, data: bytes) -> None:
    page.set_input_files("#files", {"name": name, "mimeType": "application/dicom", "buffer": data})


def step_by_keys(page: Any) -> None:
    page.locator("#frame").focus()
    page.keyboard.press("ArrowRight")
    shown(page, KEY + 1)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    shown(page, KEY - 1)
    assert page.locator("#overlay path.line").count() == 0
    assert "No finding is reported" in page.locator("#panel").inner_text()
    page.keyboard.press("End")
    shown(page, FRAMES)
    for frame in (*WITH_FINDING, WITH_FINDING[0]):  # round the end
        page.keyboard.press("n")
        shown(page, frame)
        assert page.locator("#overlay path.line").count() == 1
    page.keyboard.press("p")
    shown(page, WITH_FINDING[-1])
    page.keyboard.press("g")
    shown(page, KEY)


def zoom_stays(page: Any) -> None:
    """Stepping keeps what is looked at."""
    page.locator("#stage").focus()
    page.keyboard.press("+")
    page.wait_for_timeout(700)
    before = page.locator("#overlay g").first.get_attribute("transform")
    page.keyboard.press(",")
    shown(page, KEY - 1)
    assert page.locator("#overlay g").first.get_attribute("transform") == before
    page.keyboard.press(".")
    shown(page, KEY)
    page.keyboard.press("0")


def review_a_frame(page: Any, server: Any, exam: str) -> None:
    page.locator("#frame").focus()
    page.keyboard.press("n")
    shown(page, 8)
    page.keyboard.press("x")
    page.wait_for_selector(".finding.rejected")
    shown(page, 8)  # it stays where it is
    assert page.locator("#strip .mark.rejected").count() == 1
    (finding,) = server.client.get(f"/api/exams/{exam}/images/1/frames/8").json()["findings"]
    assert (finding["review"], finding["version"]) == ("rejected", 2)
    (other,) = server.client.get(f"/api/exams/{exam}/images/1/frames/{KEY}").json()["findings"]
    assert other["review"] == "ai"
    page.keyboard.press("e")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector(".finding.edited")
    shown(page, 8)


def play_by_keys(page: Any) -> None:
    page.locator("#stage").focus()
    page.keyboard.press(" ")
    assert page.locator("#play").get_attribute("aria-pressed") == "true"
    end = time.monotonic() + 60
    while int(page.locator("#frame").input_value()) >= 8:  # past the end, at the beginning again
        assert time.monotonic() < end
        page.wait_for_timeout(20)
    page.keyboard.press(" ")
    assert page.locator("#play").get_attribute("aria-pressed") == "false"
    shown(page, int(page.locator("#frame").input_value()))


def test_a_loop_is_read_by_keys_alone(start: Callable[..., Any], page: Any, cine: bytes) -> None:
    server = start("--workers", "1")
    page.goto(server.url)
    upload(page, "loop.dcm", cine)
    shown(page, KEY)
    exam = page.get_attribute("html", "data-drawn").partition("/")[0]
    assert page.locator("#strip .mark").count() == len(WITH_FINDING)
    step_by_keys(page)
    zoom_stays(page)
    review_a_frame(page, server, exam)
    play_by_keys(page)
    page.keyboard.press("a")
    assert not page.locator("#strip .mark").first.is_visible()  # the strip is the AI's too
    page.keyboard.press("a")
    page.goto(f"{server.url}/#{exam}/1/5")
    page.reload()
    shown(page, 5)
    box = page.locator("#strip").bounding_box()  # and by mouse: the strip's end is the last frame
    page.mouse.click(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
    shown(page, FRAMES)
    for width, height in ((390, 844), (2560, 2048)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert page.locator("#frame").is_visible()
    assert page.complaints == []


def test_an_exam_is_deleted_by_keys_and_only_by_who_may(
    start: Callable[..., Any], page: Any, lesion: bytes, lesion_dicom: bytes
) -> None:
    server = start("--workers", "1")
    page.goto(server.url)
    upload(page, "first.png", lesion)
    page.wait_for_selector("html[data-drawn]")
    upload(page, "second.dcm", lesion_dicom)
    page.wait_for_selector("#list li:nth-child(2)")
    page.locator("#list button[data-exam]").first.focus()
    page.keyboard.press("Delete")
    assert "second.dcm" in page.locator("#erase-told").inner_text()
    page.keyboard.press("Enter")  # on the safe button, which has the focus
    page.wait_for_selector("#erase", state="hidden")
    assert len(server.client.get("/api/exams").json()["exams"]) == 2
    page.locator("[data-act=erase]").click()  # in the exam that is open: the second
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#list li:nth-child(2)", state="detached")
    page.wait_for_selector("#empty", state="visible")
    (left,) = server.client.get("/api/exams").json()["exams"]
    assert left["name"] == "first.png"
    assert page.locator("#panel").inner_text() == ""

    token = new_token(server.data / "tokens.json", "reader")[1]
    page.reload()
    page.fill("#token", token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#login", state="hidden")
    upload(page, "third.png", lesion)
    page.wait_for_selector("html[data-drawn]")
    page.wait_for_selector("#list button[data-exam]")
    assert page.locator("#list .erase, [data-act=erase]").count() == 0
    page.locator("#list button[data-exam]").focus()
    page.keyboard.press("Delete")
    assert not page.locator("#erase").is_visible()

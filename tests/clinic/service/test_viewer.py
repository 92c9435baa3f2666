"""The page in a real browser: a dropped image is found, and reviewed by mouse and by keys alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

DRAWN = "html[data-drawn]"


def versions(server: Any, exam: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.client.get(f"/api/exams/{exam}/images/1/findings/1").json()[
        "versions"
    ]
    return found


def outline_is_on_the_lesion(page: Any) -> None:
    """The outline stands where the lesion is: the disc is centred at 130.5, 120.5 of 256 pixels."""
    lesion = page.locator("#overlay path.line").bounding_box()
    size = page.evaluate("() => document.querySelector('#overlay image.ai').getBoundingClientRect().toJSON()")
    across = (lesion["x"] + lesion["width"] / 2 - size["x"]) / size["width"]
    down = (lesion["y"] + lesion["height"] / 2 - size["y"]) / size["height"]
    assert (across * 256, down * 256) == pytest.approx((130.5, 120.5), abs=3)


def one_key_hides_the_ai(page: Any) -> None:
    """One key hides all that the AI says: outlines, scores, words."""
    page.keyboard.press("a")
    assert not page.locator("#overlay path.line").is_visible()
    assert not page.locator("#panel .score").first.is_visible()
    page.keyboard.press("a")
    assert page.locator("#panel .score").first.is_visible()


def review_by_keys(page: Any, server: Any, exam: str) -> None:
    """By keys alone: focus the image, edit, move a point, save."""
    page.locator("#stage").focus()
    before = versions(server, exam)[0]["contour"]
    page.keyboard.press("e")
    page.keyboard.press("]")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector(".finding.edited")
    edited = versions(server, exam)[-1]
    assert (edited["version"], edited["review"]) == (2, "edited")
    step = len(before) / 36
    assert edited["contour"][1] == pytest.approx([before[int(step)][0], before[int(step)][1] - 20], abs=0.02)
    page.keyboard.press("x")
    page.wait_for_selector(".finding.rejected")


def review_by_mouse(page: Any, server: Any, exam: str) -> None:
    """By mouse: drag a point, save, accept."""
    page.locator("[data-act=edit-0]").click()
    handle = page.locator("#overlay .grip").nth(5).bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 12, steps=4)
    page.mouse.up()
    page.locator("[data-act=save-0]").click()
    page.wait_for_selector(".finding.edited")
    page.locator("[data-act=accept-0]").click()
    page.wait_for_selector(".finding.accepted")
    assert [each["review"] for each in versions(server, exam)] == [
        "ai",
        "edited",
        "rejected",
        "edited",
        "accepted",
    ]


def measure_by_keys(page: Any) -> None:
    """Measuring from the middle by keys: 40 pixels of 0.1 mm are 4 mm."""
    page.locator("#stage").focus()
    page.keyboard.press("m")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#overlay .plate text").last.text_content() == "4.0 mm"
    page.keyboard.press("Escape")


def test_drop_find_review(start: Callable[..., Any], page: Any, lesion_dicom: bytes) -> None:
    server = start("--workers", "1")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(server.url)
    assert "not a medical device" in page.locator(".research").inner_text()
    name = "<img src=x onerror=document.title=1>.dcm"
    page.set_input_files("#files", {"name": name, "mimeType": "application/dicom", "buffer": lesion_dicom})
    page.wait_for_selector(DRAWN)
    exam = page.get_attribute("html", "data-drawn").partition("/")[0]
    assert page.locator("#panel h2").inner_text() == name  # as text, not as markup
    assert page.locator("#overlay path.line").count() == 1
    outline_is_on_the_lesion(page)
    one_key_hides_the_ai(page)
    review_by_keys(page, server, exam)
    review_by_mouse(page, server, exam)
    measure_by_keys(page)

    # Everything fits a phone: nothing is wider than the screen.
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert page.locator(".research").is_visible()
    assert page.complaints == []
    assert {re.match(r"\w+://[^/]+", url)[0] for url in requested if not url.startswith("blob:")} == {
        server.url
    }


def test_every_control_is_reached_and_seen_by_keyboard(
    start: Callable[..., Any], page: Any, draw: Any
) -> None:
    server = start("--workers", "1")
    page.goto(server.url)
    page.set_input_files("#files", {"name": "a.png", "mimeType": "image/png", "buffer": draw(0)})
    page.wait_for_selector(DRAWN)
    page.wait_for_selector("#list button")
    reached = set()
    page.evaluate("() => document.body.focus()")
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.id || e.dataset.act || e.dataset.exam || e.textContent,"
            " s.outlineStyle !== 'none' && s.outlineWidth,"
            " e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent]; }"
        )
        reached.add(focused[0])
        if focused[0] not in ("files", "") and "Senoscope" not in focused[0]:
            assert focused[1] not in (False, "0px"), focused
        assert focused[2] is None or focused[2].strip(), focused
    wanted = {
        "toggle-ai",
        "toggle-heat",
        "measure",
        "fit",
        "help",
        "files",
        "stage",
        "opacity",
        "window-width",
        "level",
    }
    assert wanted | {"accept-0", "edit-0", "reject-0"} <= reached

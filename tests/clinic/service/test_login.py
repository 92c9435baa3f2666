"""Logging in on the page, in a real browser: no token, a wrong one, a reader's and an administrator's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(
    (path for path in map(Path, ("/usr/bin/chromium", "/usr/bin/chromium-browser")) if path.exists()), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

# What a script of the page can do at most: with the session's cookie and its CSRF token.
ASK = """async ([method, path]) => {
  const session = await (await fetch("/api/session")).json();
  return (await fetch(path, {method, headers: {"X-CSRF-Token": session.csrf}})).status;
}"""


@pytest.fixture
def visit() -> Iterator[Callable[[str], Any]]:
    """Opens the page as somebody who was never there."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )

        def go(url: str) -> Any:
            page = browser.new_context().new_page()
            page.set_default_timeout(60_000)
            page.goto(url)
            return page

        yield go
        browser.close()


def log_in(page: Any, token: str) -> None:
    page.wait_for_selector("#login[open]")
    page.keyboard.type(token)  # the dialog has the focus
    page.keyboard.press("Enter")


def listed(page: Any, count: int) -> list[str]:
    page.wait_for_function("n => document.querySelectorAll('#list [data-exam]').length === n", arg=count)
    return [entry.get_attribute("data-exam") for entry in page.locator("#list [data-exam]").all()]


def test_each_role_sees_and_does_what_is_theirs(
    start: Callable[..., Any],
    visit: Callable[[str], Any],
    tokens: dict[str, str],
    draw: Callable[[int], bytes],
) -> None:
    server = start("--workers", "1")
    admins = {"Authorization": f"Bearer {tokens['admin']}"}
    files = {"files": ("a.png", draw(0))}
    foreign = server.client.post("/api/exams", files=files, headers=admins).json()["id"]

    page = visit(f"{server.url}/#{foreign}/1")
    log_in(page, "seno_wrong")
    page.wait_for_function("() => document.querySelector('#login-error').textContent.includes('not known')")
    assert page.evaluate(ASK, ["GET", "/api/exams"]) == 401
    assert page.locator("#login[open]").count() == 1

    page.locator("#token").fill("")
    log_in(page, tokens["reader"])
    page.wait_for_selector("#login:not([open])", state="attached")
    assert listed(page, 0) == []
    page.set_input_files("#files", {"name": "b.png", "mimeType": "image/png", "buffer": draw(1)})
    page.wait_for_selector("html[data-drawn]")
    (own,) = listed(page, 1)
    assert own != foreign
    for method, path, status in (
        ("GET", f"/api/exams/{own}", 200),
        ("GET", f"/api/exams/{foreign}", 404),
        ("GET", "/api/queue", 403),
        ("POST", "/api/queue/replay", 403),
        ("DELETE", f"/api/exams/{own}", 403),
        ("DELETE", f"/api/exams/{foreign}", 403),
    ):
        assert (path, page.evaluate(ASK, [method, path])) == (path, status)

    page = visit(server.url)
    log_in(page, tokens["admin"])
    assert set(listed(page, 2)) == {own, foreign}
    assert page.evaluate(ASK, ["GET", "/api/queue"]) == 200
    assert page.evaluate(ASK, ["DELETE", f"/api/exams/{own}"]) == 204
    page.reload()
    assert listed(page, 1) == [foreign]
    assert page.evaluate(ASK, ["DELETE", "/api/session"]) == 200
    page.reload()
    page.wait_for_selector("#login[open]")

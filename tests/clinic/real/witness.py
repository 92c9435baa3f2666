"""What a page in Chromium does, kept for the day a test fails: its log, its requests, its text and a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page

_KEPT = 60


class Witness:
    """Listens to ``page`` from now on. Waits go through it, so that one that fails says what the page showed."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page, self._picture = page, folder / "page.png"
        self._begun = time.monotonic()
        self._notes: list[str] = []
        page.on("console", lambda said: self._note(f"console {said.type}", said.text))
        page.on("pageerror", lambda error: self._note("error", error))
        page.on("crash", lambda _: self._note("crash", "the page crashed"))
        page.on("requestfailed", lambda asked: self._note("no answer", f"{asked.url} {asked.failure}"))
        page.on("response", self._hear)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Fail the test, with everything that is known, if Playwright gives up in the block."""
        try:
            yield
        except Error as error:
            self.fail(f"{what}: {error.message.splitlines()[0]}")
        self._note("done", what)

    def until(self, true: Callable[[], bool], what: str, *, seconds: float) -> None:
        """Look until something is so; fails the test after ``seconds``."""
        end = time.monotonic() + seconds
        with self.doing(what):
            while not true():
                if time.monotonic() > end:
                    self.fail(f"{what}: not within {seconds:.0f} s")
                self._page.wait_for_timeout(500)

    def fail(self, what: str) -> None:
        """Fail the test with the page's log, text and picture."""
        told = [*self._notes[:5], "...", *self._notes[-_KEPT:]] if len(self._notes) > _KEPT else self._notes
        lines = [what, *told, f"text: {self._ask(lambda: self._page.inner_text('body', timeout=10_000))}"]
        self._ask(lambda: self._page.screenshot(path=self._picture, timeout=60_000))
        lines.append(f"picture: {self._picture}" if self._picture.exists() else "no picture could be taken")
        pytest.fail("\n".join(lines))

    def _ask(self, question: Callable[[], Any]) -> str:
        try:
            return str(question())[:1500]
        except Error as error:
            return f"(the page does not answer: {error.message.splitlines()[0]})"

    def _hear(self, answer: Any) -> None:
        if answer.status >= 400 or "/dicom-web/" in answer.url:
            self._note(f"answer {answer.status}", answer.url)

    def _note(self, kind: str, what: object) -> None:
        self._notes.append(f"{time.monotonic() - self._begun:7.1f} s {kind}: {str(what)[:300]}")

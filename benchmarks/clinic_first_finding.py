"""How long from an image dropped on the page until its finding is drawn, in a real browser.

Chromium, driven by Playwright, is given files one after another; the page sets a mark when the outline is drawn.
Writes docs/results/clinic-first-finding.json. Run it on a quiet machine with two cores: the browser shares them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from clinic_overload import Endless
from clinic_server import RESULTS, Server, exams, machine
from senoscope._files import write_text


def measure(page: Any, url: str, images: Endless, count: int) -> list[float]:
    """Seconds per image; the first, with which everything is loaded, is the first of the list."""
    page.goto(url)
    page.wait_for_selector("#toggle-ai")
    spent, last = [], ""
    for number in range(count):
        file = {"name": f"exam-{number}.png", "mimeType": "image/png", "buffer": images[number]}
        begun = time.perf_counter()
        page.set_input_files("#files", file)
        page.wait_for_selector(f"html[data-drawn]:not([data-drawn='{last}'])")
        spent.append(time.perf_counter() - begun)
        last = page.get_attribute("html", "data-drawn")
    return spent


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=RESULTS / "clinic-first-finding.json")
    arguments = parser.parse_args()
    about, images = machine(), Endless(exams(24, arguments.size))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        server = Server(Path(folder) / "data")
        browser = driver.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            spent = measure(browser.new_page(), server.url, images, arguments.count)
        finally:
            browser.close()
            server.stop()
    low, median, high, late = (
        round(float(part), 3) for part in np.quantile(spent[1:], [0.25, 0.5, 0.75, 0.95])
    )
    result = {
        "first_image_s": {"value": round(spent[0], 3), "n": 1},
        "drop_to_drawn_s": {"value": median, "low": low, "high": high, "n": len(spent) - 1},
        "drop_to_drawn_p95_s": {"value": late, "n": len(spent) - 1},
        "about": {"how": __doc__, "size": arguments.size, "machine": about},
    }
    write_text(arguments.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

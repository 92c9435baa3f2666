"""A reader opens the results in OHIF: the segmentation and the report's contour lie on the lesion."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from senoscope.clinic.dicom.objects import write_objects
from senoscope.clinic.gateway.config import Destination
from senoscope.clinic.gateway.send import _store
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.cine import examine_frames

pytestmark = pytest.mark.real

SIDE, ROW, COLUMN, RADIUS = 256, 120, 130, 40
"""The picture's side, and the disc that is drawn in it and that the fake bundle finds (pixels)."""

SLOW_MS = 180_000
NO_TOUR = ".shepherd-element, .shepherd-modal-overlay-container { display: none !important }"
SOFTWARE_GL = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]


@pytest.fixture(scope="module")
def study(parts, orthanc, fake_folder, pixels, tmp_path_factory) -> str:
    """An image and its results in the PACS; the study's UID."""
    folder = tmp_path_factory.mktemp("ohif")
    (exam,) = parts.study(pixels, 1)
    exam.save_as(folder / "exam.dcm", enforce_file_format=True)
    analyzer = Analyzer(fake_folder, threads=1)
    frames = examine_frames(folder / "exam.dcm", analyzer)
    written = write_objects(folder / "exam.dcm", frames, analyzer.bundle, folder / "out")
    pacs = Destination(name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=orthanc.port)
    assert parts.send(orthanc.port, [exam], calling="TESTER", called="ORTHANC") == [0]
    assert list(_store("TESTER", pacs, written)) == written
    return str(exam.StudyInstanceUID)


@pytest.fixture
def page(ohif, orthanc, study):
    """OHIF with the study open."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the [dev] extra")
    if ohif.CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    build = ohif.find_build()
    if isinstance(build, str):
        pytest.skip(build)
    viewer = ohif.Viewer(build, orthanc.url, orthanc.authorization)
    with driver.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=str(ohif.CHROMIUM), args=[*SOFTWARE_GL, "--disable-background-networking"]
        )
        made = browser.new_page(viewport={"width": 1400, "height": 900})
        made.set_default_timeout(SLOW_MS)
        made.goto(f"{viewer.url}/viewer?StudyInstanceUIDs={study}")
        made.add_style_tag(content=NO_TOUR)  # the greeting lies over everything
        made.locator("canvas").first.wait_for()
        yield made
        browser.close()
    viewer.close()


def open_series(page, modality: str) -> None:
    page.locator('[data-cy="study-browser-thumbnail-no-image"]', has_text=modality).first.dblclick()


def drawn(page) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The viewport as RGB, and for each of its pixels the distance from the disc's centre in image pixels.

    OHIF fits the picture into the viewport's height and centres it.
    """
    shot = page.locator(".cornerstone-viewport-element").first.screenshot()
    colours = np.asarray(Image.open(BytesIO(shot)).convert("RGB"), dtype=np.int16)
    height, width = colours.shape[:2]
    scale = min(height, width) / SIDE
    rows = (np.arange(height) - height / 2) / scale + SIDE / 2 - ROW
    columns = (np.arange(width) - width / 2) / scale + SIDE / 2 - COLUMN
    return colours, np.hypot(rows[:, None], columns[None, :])


def coloured(colours: NDArray[np.int16]) -> NDArray[np.bool_]:
    """What is not grey, as ultrasound is."""
    return np.ptp(colours, axis=2) > 30


def test_the_segmentation_lies_on_the_lesion(page):
    colours, distance = drawn(page)
    assert coloured(colours)[distance < RADIUS + 20].mean() == 0
    open_series(page, "SEG")
    for _ in range(180):
        page.wait_for_timeout(1000)
        colours, distance = drawn(page)
        if coloured(colours)[distance < RADIUS - 4].mean() > 0.99:
            break
    assert coloured(colours)[distance < RADIUS - 4].mean() > 0.99
    assert coloured(colours)[(distance > RADIUS + 4) & (distance < RADIUS + 20)].mean() < 0.001


def test_the_report_draws_its_contour_on_the_lesion(page):
    open_series(page, "SR")
    for _ in range(180):
        page.wait_for_timeout(1000)
        colours, distance = drawn(page)
        left = (
            np.arange(colours.shape[1])[None, :] < colours.shape[1] * 0.46
        )  # values are written on the right
        rim = left & (np.abs(distance - RADIUS) < 4)
        if coloured(colours)[rim].mean() > 0.01:
            break
    marks = coloured(colours)
    assert (
        marks[rim].mean() > 0.01
    )  # a dashed line, a pixel or two of the screen wide, in a rim of 8 image pixels
    assert marks[left & (distance < RADIUS - 4)].mean() == 0
    assert marks[left & (distance > RADIUS + 4) & (distance < RADIUS + 20)].mean() == 0

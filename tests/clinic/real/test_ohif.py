"""A reader opens the results in OHIF: the segmentation and the report's contour lie on the lesion."""

from __future__ import annotations

from collections.abc import Iterator
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

OPEN_S, DRAW_S = 240, 120
"""Limits on a machine whose cores are all busy: OHIF loads 10 MB of script, and WebGL is drawn by the CPU."""

NO_TOUR = ".shepherd-element, .shepherd-modal-overlay-container { display: none !important }"
SOFTWARE_GL = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
]
WINDOW = {"width": 1000, "height": 700}
VIEWPORT = ".cornerstone-viewport-element"


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
def viewer(ohif, orthanc) -> Iterator[object]:
    if ohif.CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    build = ohif.find_build()
    if isinstance(build, str):
        pytest.skip(build)
    made = ohif.Viewer(build, orthanc.url, orthanc.authorization)
    yield made
    made.close()


@pytest.fixture
def opened(viewer, ohif, witness_of, study, tmp_path) -> Iterator[tuple[object, object]]:
    """OHIF with the study open and its image drawn, and a witness of what the page does."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the [dev] extra")
    with driver.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(ohif.CHROMIUM), args=SOFTWARE_GL)
        # OHIF's service worker would fetch all of its 200 MB in the background.
        page = browser.new_page(viewport=WINDOW, service_workers="block")
        page.set_default_timeout(OPEN_S * 1000)
        witness = witness_of(page, tmp_path)
        with witness.doing("OHIF loads"):
            page.goto(f"{viewer.url}/viewer?StudyInstanceUIDs={study}")
            page.add_style_tag(content=NO_TOUR)  # the greeting lies over everything
        with witness.doing("OHIF shows a viewport"):
            page.locator(f"{VIEWPORT} canvas").first.wait_for()
        witness.until(lambda: is_disc(page), "the image is drawn", seconds=DRAW_S)
        yield page, witness
        browser.close()


def is_disc(page) -> bool:
    """Whether the picture is there: dark in the disc, bright around it."""
    colours, distance = drawn(page)
    inside, outside = distance < RADIUS - 4, (distance > RADIUS + 4) & (distance < RADIUS + 20)
    return bool(np.median(colours[inside]) < 60 and np.median(colours[outside]) > 100)


def open_series(page, witness, modality: str) -> None:
    with witness.doing(f"the {modality} is opened"):
        page.locator('[data-cy="study-browser-thumbnail-no-image"]', has_text=modality).first.dblclick()


def drawn(page) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The viewport as RGB, and for each of its pixels the distance from the disc's centre in image pixels.

    OHIF fits the picture into the viewport's height and centres it.
    """
    shot = page.locator(VIEWPORT).first.screenshot()
    colours = np.asarray(Image.open(BytesIO(shot)).convert("RGB"), dtype=np.int16)
    height, width = colours.shape[:2]
    scale = min(height, width) / SIDE
    rows = (np.arange(height) - height / 2) / scale + SIDE / 2 - ROW
    columns = (np.arange(width) - width / 2) / scale + SIDE / 2 - COLUMN
    return colours, np.hypot(rows[:, None], columns[None, :])


def coloured(colours: NDArray[np.int16]) -> NDArray[np.bool_]:
    """What is not grey, as ultrasound is."""
    return np.ptp(colours, axis=2) > 30


def test_the_segmentation_lies_on_the_lesion(opened):
    page, witness = opened
    colours, distance = drawn(page)
    assert coloured(colours)[distance < RADIUS + 20].mean() == 0
    open_series(page, witness, "SEG")

    def is_filled() -> bool:
        colours, distance = drawn(page)
        return bool(coloured(colours)[distance < RADIUS - 4].mean() > 0.99)

    witness.until(is_filled, "the disc is filled", seconds=DRAW_S)
    colours, distance = drawn(page)
    assert coloured(colours)[(distance > RADIUS + 4) & (distance < RADIUS + 20)].mean() < 0.001


def test_the_report_draws_its_contour_on_the_lesion(opened):
    page, witness = opened
    open_series(page, witness, "SR")

    def is_outlined() -> bool:
        # OHIF adds the contour after it has drawn the picture, and shows it when that is drawn again, which on a slow
        # machine nobody asks for until the reader zooms, scrolls or, as here, changes the window's size.
        smaller = {**WINDOW, "height": WINDOW["height"] - 20}
        page.set_viewport_size(smaller if page.viewport_size == WINDOW else WINDOW)
        page.wait_for_timeout(2000)
        colours, distance, left = left_of_values(page)
        return bool(coloured(colours)[left & (np.abs(distance - RADIUS) < 4)].mean() > 0.01)

    # a dashed line, a pixel or two of the screen wide, in a rim of 8 image pixels
    witness.until(is_outlined, "the contour is drawn", seconds=DRAW_S)
    colours, distance, left = left_of_values(page)
    marks = coloured(colours)
    assert marks[left & (distance < RADIUS - 4)].mean() == 0
    assert marks[left & (distance > RADIUS + 4) & (distance < RADIUS + 20)].mean() == 0


def left_of_values(page) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.bool_]]:
    """As ``drawn``, and which pixels lie on the left, free of the values that OHIF writes beside the contour."""
    colours, distance = drawn(page)
    return colours, distance, np.arange(colours.shape[1])[None, :] < colours.shape[1] * 0.46

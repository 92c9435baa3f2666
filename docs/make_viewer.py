"""Photograph the service's page with simulated exams, for docs/how-to/serve.md: no patient's image is shown.

Run by hand after the page has changed; it needs the extras ``clinic`` and ``dev`` and a Chromium.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from senoscope._files import atomic_path
from senoscope.data.phantoms import simulate

IMAGES = Path(__file__).resolve().parent / "images"
CHROMIUM = "/usr/bin/chromium"
SEED, FRAMES, SIDE, STEP = 14, 36, 640, 10


def sweep() -> bytes:
    """A loop: a simulated breast that slides past a narrower window, as if the probe moved."""
    phantom = simulate(SEED, "malignant", SIDE)
    width = SIDE - STEP * (FRAMES - 1)
    frames = np.stack([phantom.image[:, STEP * n : STEP * n + width] for n in range(FRAMES)])
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = generate_uid(), generate_uid(), "US"
    data.Rows, data.Columns, data.NumberOfFrames, data.CineRate = SIDE, width, FRAMES, 15
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.SamplesPerPixel, data.PixelRepresentation = 7, 1, 0
    data.PhotometricInterpretation, data.PixelSpacing = "MONOCHROME2", list(phantom.spacing)
    data.PixelData = frames.tobytes()
    stream = BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def still(seed: int, label: str) -> bytes:
    """A simulated picture as PNG."""
    stream = BytesIO()
    Image.fromarray(simulate(seed, label, 420).image).save(stream, "PNG")
    return stream.getvalue()


def keep(page: Page, name: str, width: int, height: int) -> None:
    """What the page shows, as a picture of that size."""
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(1500)
    picture = Image.open(BytesIO(page.screenshot()))
    with atomic_path(IMAGES / f"{name}.webp") as path:
        picture.save(path, "WEBP", quality=88, method=6)
    print(f"wrote docs/images/{name}.webp")


def photograph(url: str) -> None:
    """Send the exams, wait until they are drawn, and keep two pictures."""
    files: list[Any] = [
        {"name": "phantom-benign.png", "mimeType": "image/png", "buffer": still(12, "benign")},
        {"name": "phantom-malignant.png", "mimeType": "image/png", "buffer": still(12, "malignant")},
        {"name": "phantom-loop.dcm", "mimeType": "application/dicom", "buffer": sweep()},
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(300_000)
        page.goto(url)
        for count, file in enumerate(files, 1):
            page.set_input_files("#files", file)
            page.wait_for_selector(f"#list li:nth-child({count})")
            page.wait_for_selector("#list li:first-child .chip.done")
        page.wait_for_selector("#cine:not([hidden])")
        keep(page, "viewer", 1280, 800)
        keep(page, "viewer-phone", 390, 844)
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "senoscope", "serve", "--data-dir", folder, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - ours
            assert server.stdout is not None  # noqa: S101
            found = re.search(r"http://\S+:\d+/", server.stdout.readline())
            try:
                photograph(found[0] if found else "")
            finally:
                server.send_signal(signal.SIGTERM)

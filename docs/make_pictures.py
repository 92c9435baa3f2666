"""Draw the pictures of the documents from simulated exams and the shipped bundle: no patient's image is shown.

Run with ``make docs`` after the bundle or the drawing has changed.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from senoscope._files import atomic_path
from senoscope.data.phantoms import simulate
from senoscope.imaging import RawImage, gray_image, montage, overlay
from senoscope.inference.analyzer import Analyzer
from senoscope.reports.pictures import heat_picture

IMAGES = Path(__file__).resolve().parent / "images"
CASES = {"benign": 12, "malignant": 12}
SIDE = 340


def overview(analyzer: Analyzer) -> Image.Image:
    """One row per simulated exam: the image, what was found, and where the class came from."""
    panels, captions = [], []
    for label, seed in CASES.items():
        phantom = simulate(seed, label)
        raw = RawImage(
            pixels=phantom.image, spacing=phantom.spacing, modality="US", notes=(), source=f"phantom {seed}"
        )
        seen = analyzer.examine(raw)
        prediction = seen.report.prediction
        if seen.gray is None or prediction is None:
            raise RuntimeError(f"phantom {seed} was not analysed: {seen.report.notes}")
        panels += [
            gray_image(seen.gray).resize((SIDE, SIDE), Image.Resampling.BICUBIC),
            overlay(seen.gray, seen.report.findings, size=SIDE),
            heat_picture(seen.gray, prediction.heatmap).resize((SIDE, SIDE), Image.Resampling.BICUBIC),
        ]
        verdict = f"{prediction.label}, malignant {prediction.probability('malignant'):.0%}"
        captions += [f"simulated, {label}", f"found: {verdict}", "evidence: benign blue, malignant red"]
    return montage(panels, captions, columns=3)


if __name__ == "__main__":
    with atomic_path(IMAGES / "overview.webp") as path:
        overview(Analyzer()).save(path, "WEBP", quality=85, method=6)
    print("wrote docs/images/overview.webp")

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from senoscope.imaging.masks import contour_to_mask
from senoscope.imaging.raw import RawImage
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.region import marked_window
from senoscope.schema import Box


def screen(fake: ModuleType) -> tuple[RawImage, RawImage]:
    """A picture alone, and the same picture on a screen with a bright menu round it and its region marked."""
    picture = fake.draw_exam((120, 130, 40, 0.02))
    whole = np.full((400, 500), 0.9, np.float32)
    whole[::7] = 0.1
    whole[60:316, 150:406] = picture
    alone = RawImage(picture, (0.1, 0.1), "US", (), "exam.dcm")
    return alone, RawImage(whole, (0.1, 0.1), "US", (), "exam.dcm", region=Box(150, 60, 256, 256))


def test_the_answer_is_that_of_the_picture_alone_moved_to_its_place(
    fake: ModuleType, fake_folder: Path
) -> None:
    alone, within = screen(fake)
    analyzer = Analyzer(fake_folder, threads=1)
    small, large = analyzer.examine(alone), analyzer.examine(within)
    assert large.report.size == (500, 400)
    (first,), (second,) = small.report.findings, large.report.findings
    assert second.contour == pytest.approx(first.contour + np.array([150, 60]))
    assert second.box == Box(first.box.x + 150, first.box.y + 60, first.box.width, first.box.height)
    assert (second.score, second.area_mm2, second.measures) == (first.score, first.area_mm2, first.measures)
    assert large.mask.shape == large.report.prediction.lesion_map.shape == (400, 500)
    assert (large.mask[60:316, 150:406] == small.mask).all()
    assert large.mask.sum() == small.mask.sum()
    assert (contour_to_mask(second.contour, (400, 500)) == large.mask).all()
    assert (large.report.prediction.heatmap[:50] == 0.5).all()
    assert "256×256" in large.report.notes[-1]


def test_a_region_that_is_the_whole_picture_changes_nothing(fake: ModuleType) -> None:
    alone, within = screen(fake)
    assert marked_window(alone) is None
    assert marked_window(RawImage(alone.pixels, None, "US", (), "x", region=Box(0, 0, 256, 256))) is None
    assert marked_window(RawImage(alone.pixels, None, "US", (), "x", region=Box(300, 0, 50, 50))) is None
    assert marked_window(within) == (slice(60, 316), slice(150, 406))

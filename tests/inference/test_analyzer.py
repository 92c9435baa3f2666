from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from senoscope.errors import ImageError
from senoscope.imaging.raw import RawImage
from senoscope.inference.analyzer import Analyzer, analyze
from senoscope.inference.scope import fit_scope

DEEP = (120, 130, 40, 0.02)


@pytest.fixture(scope="module")
def analyzer(fake_folder: Path) -> Analyzer:
    return Analyzer(fake_folder, threads=1)


def raw(
    gray: np.ndarray, spacing: tuple[float, float] | None = None, modality: str | None = None
) -> RawImage:
    return RawImage(gray, spacing, modality, (), "exam.png")


def save(gray: np.ndarray, path: Path) -> Path:
    Image.fromarray(np.rint(gray * 255).astype(np.uint8)).save(path)
    return path


def test_a_file_becomes_a_report(analyzer: Analyzer, fake: ModuleType, tmp_path: Path) -> None:
    path = save(fake.draw_exam(DEEP, size=(250, 300)), tmp_path / "exam.png")
    report = analyzer.analyze(path)
    assert (report.status, report.source, report.size) == ("analysed", str(path), (300, 250))
    assert report.spacing is None
    assert report.seconds is not None
    assert report.prediction is not None
    assert report.prediction.label == "malignant"
    assert report.prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert report.prediction.lesion_map.shape == report.prediction.heatmap.shape == (250, 300)
    (finding,) = report.findings
    x, y = finding.contour.mean(axis=0)
    assert (x, y) == (pytest.approx(130, abs=3), pytest.approx(120, abs=3))
    assert finding.box.width == pytest.approx(80, abs=10)
    assert finding.area_mm2 is None


def test_the_same_image_gives_the_same_report(analyzer: Analyzer, fake: ModuleType) -> None:
    exam = raw(fake.draw_exam(DEEP))
    first, second = analyzer.analyze(exam), analyzer.analyze(exam)
    assert (first.findings[0].contour == second.findings[0].contour).all()
    assert (first.prediction.probabilities == second.prediction.probabilities).all()


def test_a_second_look_outlines_better_and_leaves_the_class_alone(
    analyzer: Analyzer, fake: ModuleType, tmp_path: Path
) -> None:
    exam = fake.draw_exam((400, 400, 60, 0.02), size=(800, 800))  # across 19 of the network's 128 px
    closer = Analyzer(fake.write_bundle(tmp_path / "closer", refine=True), threads=1)
    once, twice = analyzer.predict(exam), closer.predict(exam)
    rows, columns = np.mgrid[:800, :800]
    lesion = np.hypot(rows - 400, columns - 400) <= 60

    def dice(lesion_map: np.ndarray) -> float:
        mask = lesion_map >= closer.bundle.card.mask_threshold
        return float(2 * (mask & lesion).sum() / (mask.sum() + lesion.sum()))

    assert dice(twice.lesion_map) > dice(once.lesion_map) + 0.02 > 0.9
    assert (twice.probabilities == once.probabilities).all()
    assert (twice.heatmap == once.heatmap).all()
    nothing = fake.draw_exam(size=(800, 800))
    assert (closer.predict(nothing).lesion_map == analyzer.predict(nothing).lesion_map).all()


def test_the_outline_lies_on_the_lesion_whatever_the_images_size_and_shape(
    analyzer: Analyzer, fake: ModuleType
) -> None:
    for height, width in ((250, 640), (640, 250), (90, 100), (1000, 900)):
        radius = min(height, width) // 5
        image = fake.draw_exam((height // 2, width // 3, radius, 0.02), size=(height, width))
        analysis = analyzer.examine(raw(image))
        rows, columns = np.mgrid[:height, :width]
        truth = (rows - height // 2) ** 2 + (columns - width // 3) ** 2 <= radius**2
        assert analysis.mask is not None
        assert analysis.mask.shape == (height, width)
        assert 2 * (truth & analysis.mask).sum() / (truth.sum() + analysis.mask.sum()) > 0.87


def test_spacing_gives_millimetres(analyzer: Analyzer, fake: ModuleType) -> None:
    (finding,) = analyzer.analyze(raw(fake.draw_exam(DEEP), (0.1, 0.2))).findings
    assert finding.area_mm2 == pytest.approx(finding.area_px * 0.02)


def test_findings_are_withheld_when_the_class_is_normal(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_bundle(tmp_path / "calm", fake.build_network(bias=60.0))
    analysis = Analyzer(folder).examine(raw(fake.draw_exam(DEEP)))
    assert analysis.report.prediction.label == "normal"
    assert analysis.report.findings == ()
    assert not analysis.mask.any()
    assert any("most probable class is normal" in note for note in analysis.report.notes)


def test_a_class_without_an_outline_is_said(fake: ModuleType, tmp_path: Path) -> None:
    folder = fake.write_bundle(tmp_path / "strict", mask_threshold=0.999, min_area=0.9)
    report = Analyzer(folder).analyze(raw(fake.draw_exam(DEEP)))
    assert report.findings == ()
    assert any("no lesion could be outlined" in note for note in report.notes)


def test_it_says_when_it_does_not_know(fake: ModuleType, tmp_path: Path) -> None:
    sure = Analyzer(fake.write_bundle(tmp_path / "sure")).analyze(raw(fake.draw_exam(DEEP)))
    torn = Analyzer(
        fake.write_bundle(tmp_path / "torn", calibration={"temperature": 500.0}, uncertainty_limit=0.9)
    ).analyze(raw(fake.draw_exam(DEEP)))
    assert not any("does not know" in note for note in sure.notes)
    assert torn.prediction.uncertainty > 0.99
    assert any("does not know" in note for note in torn.notes)


def test_images_that_cannot_be_analysed_get_no_score(analyzer: Analyzer) -> None:
    for gray in (
        np.zeros((200, 200), np.float32),
        np.full((200, 200), 0.4, np.float32),
        np.zeros((1, 1), np.float32),
    ):
        report = analyzer.analyze(raw(gray))
        assert report.status == "not analysable"
        assert report.prediction is None
        assert report.findings == ()
        assert report.notes
    with pytest.raises(ValueError, match="black"):
        analyzer.predict(np.zeros((200, 200), np.float32))


def test_out_of_scope_images_get_no_findings(fake: ModuleType, tmp_path: Path) -> None:
    scope = fit_scope(
        [fake.draw_exam((100 + seed, 110 + seed, 34 + seed % 9, 0.02), seed=seed) for seed in range(40)]
    )
    analyzer = Analyzer(fake.write_bundle(tmp_path / "scoped", scope=scope))
    exam = fake.draw_exam(DEEP)
    assert analyzer.analyze(raw(exam)).status == "analysed"
    flower = np.clip(np.indices((256, 256)).sum(0) / 512 + 0.3 * (exam > 0.4), 0, 1).astype(np.float32)
    report = analyzer.analyze(raw(flower))
    assert (report.status, report.findings) == ("out of scope", ())
    assert "does not look like" in report.prediction.reasons[0]
    assert analyzer.analyze(raw(exam, modality="MR")).status == "out of scope"
    assert not analyzer.predict(flower).in_scope


def test_predict_gives_the_heatmap_of_the_evidence(analyzer: Analyzer, fake: ModuleType) -> None:
    prediction = analyzer.predict(fake.draw_exam(DEEP))
    assert 0 <= prediction.heatmap.min() <= 0.5 <= prediction.heatmap.max() <= 1
    assert prediction.heatmap[120, 130] > 0.85  # the lesion speaks for malignant
    assert prediction.heatmap[:20].max() < 0.6  # the margin of the picture says little


def test_unreadable_files_raise(analyzer: Analyzer, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty\.png"):
        analyzer.analyze(tmp_path / "empty.png")


def test_the_short_way_keeps_its_bundle(fake: ModuleType, fake_folder: Path, tmp_path: Path) -> None:
    path = save(fake.draw_exam(DEEP), tmp_path / "exam.png")
    assert analyze(path, fake_folder).findings[0].score == analyze(str(path), fake_folder).findings[0].score

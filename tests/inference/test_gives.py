"""Systems that give only some outputs: what is absent stays absent, and is said."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from senoscope.errors import BundleError
from senoscope.imaging.masks import contour_to_box
from senoscope.imaging.preprocess import Preprocess
from senoscope.imaging.raw import RawImage
from senoscope.inference import answer
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.bundle import load_bundle
from senoscope.inference.card import read_card
from senoscope.inference.model_card import render
from senoscope.inference.runtimes import OnnxNetwork
from senoscope.schema import Box

DEEP = (120, 130, 40, 0.02)
TWO = ((80, 70, 34, 0.02), (180, 190, 28, 0.2))


def raw(gray: np.ndarray, **more: object) -> RawImage:
    return RawImage(
        gray, more.get("spacing"), more.get("modality"), (), "exam.png", region=more.get("region")
    )


@pytest.fixture
def analyzer(fake: ModuleType, tmp_path: Path):
    def make(kind: str, **changes: object) -> Analyzer:
        return Analyzer(fake.write_kind(tmp_path / kind, kind, **changes), threads=1)

    return make


def test_a_classifier_gives_its_class_and_heatmap_and_no_outline(
    analyzer, fake: ModuleType, fake_folder
) -> None:
    exam = raw(fake.draw_exam(DEEP))
    analysis, whole = analyzer("classifier").examine(exam), Analyzer(fake_folder, threads=1).examine(exam)
    prediction = analysis.report.prediction
    assert prediction.probabilities == pytest.approx(whole.report.prediction.probabilities)
    assert (prediction.heatmap == whole.report.prediction.heatmap).all()
    assert prediction.lesion_map is prediction.boxes is analysis.mask is None
    assert analysis.report.findings == ()
    assert not prediction.locates
    assert analysis.report.notes == (answer.NOT_OUTLINED,)


def test_a_classifier_without_a_class_map_has_no_heatmap(analyzer, fake: ModuleType) -> None:
    prediction = analyzer("plain classifier").predict(fake.draw_exam(DEEP))
    assert prediction.label == "malignant"
    assert prediction.heatmap is None


def test_a_segmenter_gives_outlines_and_no_score(analyzer, fake: ModuleType, fake_folder) -> None:
    exam = raw(fake.draw_exam(DEEP), spacing=(0.1, 0.1))
    analysis, whole = analyzer("segmenter").examine(exam), Analyzer(fake_folder, threads=1).examine(exam)
    report = analysis.report
    (finding,), (same,) = report.findings, whole.report.findings
    assert finding.score is None
    assert (finding.contour == same.contour).all()
    assert (finding.measures, finding.shape, finding.area_mm2) == (same.measures, same.shape, same.area_mm2)
    assert (analysis.mask == whole.mask).all()
    assert report.prediction.classes == ()
    assert report.prediction.probabilities is report.prediction.heatmap is None
    assert report.prediction.uncertainty is report.prediction.label is None
    assert report.prediction.probability("malignant") is None
    assert report.notes == (answer.NOT_CLASSIFIED,)


def test_a_segmenter_that_finds_nothing_says_so_by_an_empty_list(analyzer, fake: ModuleType) -> None:
    analysis = analyzer("segmenter", min_area=0.2).examine(raw(fake.draw_exam()))
    assert analysis.report.findings == ()
    assert not analysis.mask.any()
    assert analysis.report.prediction.locates


def test_two_findings_of_a_model_that_cannot_divide_its_class_have_no_score(
    analyzer, fake: ModuleType
) -> None:
    one, two = (analyzer("two heads").analyze(raw(fake.draw_exam(*lesions))) for lesions in ((DEEP,), TWO))
    assert one.findings[0].score == one.prediction.probability("malignant")
    assert one.notes == ()
    assert [finding.score for finding in two.findings] == [None, None]
    assert answer.UNDIVIDED.format(count=2) in two.notes


@pytest.mark.parametrize("kind", ["detector", "scoring detector"])
def test_a_box_is_a_finding_without_an_outlines_words(analyzer, fake: ModuleType, kind: str) -> None:
    analysis = analyzer(kind).examine(raw(fake.draw_exam(DEEP), spacing=(0.1, 0.1)))
    (finding,) = analysis.report.findings
    assert finding.box == pytest.approx((90, 80, 80, 80), abs=6)
    assert contour_to_box(finding.contour) == pytest.approx(finding.box, abs=1e-3)
    assert len(finding.contour) == 4
    assert finding.area_px is finding.area_mm2 is finding.confidence is None
    assert finding.shape is finding.orientation is finding.margin is None
    assert finding.measures == {}
    assert analysis.mask is None
    assert analysis.report.prediction.boxes == (finding.box,)
    assert answer.BOX_ONLY in analysis.report.notes
    if kind == "detector":
        assert finding.score is None
        assert {answer.NOT_CLASSIFIED, answer.ALWAYS_A_BOX} <= set(analysis.report.notes)
    else:
        assert finding.score == analysis.report.prediction.probability("malignant")
        assert analysis.report.prediction.heatmap is None


def test_a_box_is_withheld_when_the_class_is_normal(analyzer, fake: ModuleType) -> None:
    report = analyzer("scoring detector", bias=60.0).analyze(raw(fake.draw_exam(DEEP)))
    assert report.findings == ()
    assert any("A box was drawn, but the most probable class is normal" in note for note in report.notes)


def test_boxes_come_back_from_the_networks_square_by_hand() -> None:
    frame = Preprocess(size=128).frame(
        100, 200
    )  # 64 of 128 rows, from row 32 on; each pixel of the square is 1.5625
    assert frame.box_to_original(Box(0.25, 0.5, 0.5, 0.125)) == pytest.approx((50, 50, 100, 25))
    assert frame.box_to_original(Box(-1, -1, 3, 3)) == pytest.approx((0, 0, 200, 100))
    assert frame.box_to_original(Box(0.1, 0.0, 0.5, 0.2)) is None  # in the black bar above the image
    assert frame.box_to_original(Box(0.4, 0.4, -0.2, 0.2)) is None


@pytest.mark.parametrize("kind", ["classifier", "segmenter", "detector"])
def test_a_marked_region_moves_whatever_there_is(analyzer, fake: ModuleType, kind: str) -> None:
    picture = fake.draw_exam(DEEP)
    screen = np.full((400, 500), 0.9, np.float32)
    screen[60:316, 150:406] = picture
    small = analyzer(kind).examine(raw(picture))
    large = analyzer(kind).examine(raw(screen, region=Box(150, 60, 256, 256)))
    for first, second in zip(small.report.findings, large.report.findings, strict=True):
        assert second.box == Box(first.box.x + 150, first.box.y + 60, first.box.width, first.box.height)
    if kind == "detector":
        assert large.report.prediction.boxes == (large.report.findings[0].box,)
    if kind == "classifier":
        assert large.report.prediction.heatmap.shape == (400, 500)
        assert large.report.prediction.lesion_map is None
    if kind == "segmenter":
        assert large.mask.shape == large.report.prediction.lesion_map.shape == (400, 500)


def test_probabilities_without_calibration_are_plain_softmax_and_said(analyzer, fake: ModuleType) -> None:
    plain = analyzer("classifier", calibration=None, operating_points={}).analyze(raw(fake.draw_exam(DEEP)))
    unit = analyzer("classifier", calibration={"temperature": 1.0}).analyze(raw(fake.draw_exam(DEEP)))
    assert (plain.prediction.probabilities == unit.prediction.probabilities).all()
    assert answer.NOT_CALIBRATED in plain.notes
    assert answer.NOT_CALIBRATED not in unit.notes


def test_other_modalities_are_another_models(analyzer, fake: ModuleType) -> None:
    model = analyzer("classifier", modalities=("MG",))
    assert model.analyze(raw(fake.draw_exam(DEEP), modality="MG")).status == "analysed"
    report = model.analyze(raw(fake.draw_exam(DEEP), modality="US"))
    assert report.status == "out of scope"
    assert report.prediction.reasons == ("the file says its modality is US, not mammography (MG)",)


def test_a_card_that_says_nothing_new_is_the_shipped_kind(fake_folder: Path) -> None:
    card = read_card(fake_folder / "card.json")
    assert (card.system, card.gives) == (
        "senoscope-us",
        ("class_logits", "mask_logits", "class_map", "pool_weights"),
    )
    assert card.absent == ()


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("segmenter", {"classes": ["normal", "benign", "malignant"]}, "classes must be empty"),
        ("classifier", {"classes": []}, "classes must be normal, benign, malignant"),
        ("segmenter", {"gives": ["contour_logits"]}, "must give class_logits, mask_logits or boxes"),
        ("segmenter", {"gives": ["masks"]}, "outputs must be some of"),
    ],
)
def test_cards_that_contradict_themselves_are_refused(
    fake: ModuleType, tmp_path: Path, kind: str, change: dict[str, object], says: str
) -> None:
    folder = fake.write_kind(tmp_path / "kind", kind)
    fake.edit_card(folder, **change)
    with pytest.raises(BundleError, match=says):
        load_bundle(folder)


def test_a_card_that_promises_more_than_the_network_gives_is_refused(
    fake: ModuleType, tmp_path: Path
) -> None:
    folder = fake.write_kind(tmp_path / "kind", "segmenter")
    fake.edit_card(folder, gives=["mask_logits", "boxes"])
    with pytest.raises(BundleError, match="has no output boxes"):
        OnnxNetwork(load_bundle(folder))


def test_the_card_page_says_what_is_not_given(fake: ModuleType, tmp_path: Path) -> None:
    page = render(load_bundle(fake.write_kind(tmp_path / "kind", "segmenter", results={})).card)
    assert "Not given by this model: class probabilities, heatmaps." in page
    assert "it does not classify" in page
    assert "No figures were measured" in page
    assert "siblings of the shipped one" not in page

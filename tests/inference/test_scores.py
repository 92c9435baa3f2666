from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from scipy.special import softmax as reference_softmax

from senoscope.imaging.raw import RawImage
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.scores import finding_logits, nearest_finding, softmax


def test_softmax_agrees_with_scipy_and_does_not_overflow() -> None:
    for logits in ([1.0, 2.0, 3.0], [-800.0, 0.0, 800.0], [88.0, 89.0, 90.0]):
        assert softmax(np.array(logits, np.float32)) == pytest.approx(reference_softmax(logits), abs=1e-6)


def test_cells_go_to_the_nearest_finding() -> None:
    first, second = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    first[0, 0], second[3, 3] = 1.0, 1.0
    owner = nearest_finding([first, second])
    assert owner[0].tolist() == [
        0,
        0,
        0,
        0,
    ]  # the corner (0, 3) is as far from both: the first, larger one has it
    assert owner[3].tolist() == [0, 1, 1, 1]
    assert owner[1].tolist() == [0, 0, 0, 1]


def test_a_cell_that_two_findings_share_goes_to_the_one_covering_more() -> None:
    first, second = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    first[0, 0], first[0, 1], second[0, 1] = 1.0, 0.2, 0.6
    assert nearest_finding([first, second])[0].tolist() == [0, 1]


def test_findings_scores_add_up_to_the_images() -> None:
    random = np.random.default_rng(3)
    class_map = random.normal(size=(3, 16, 16)).astype(np.float32)
    weights = random.random((16, 16)).astype(np.float32) ** 4
    weights /= weights.sum()
    masks = [np.zeros((256, 256), np.float32) for _ in range(3)]
    masks[0][20:90, 30:120], masks[1][150:170, 150:160], masks[2][200:203, 10:13] = 1, 1, 1
    parts = finding_logits(class_map, weights, masks)
    image = np.einsum("cij,ij->c", class_map.astype(float), weights.astype(float))
    assert sum(share for _, share in parts) == pytest.approx(1.0, abs=1e-6)
    assert sum(share * logits for logits, share in parts) == pytest.approx(image, abs=1e-5)
    assert all(0 < share < 1 for _, share in parts)


def test_a_finding_hidden_in_its_neighbours_cell_has_that_cells_evidence_and_no_weight() -> None:
    class_map = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    weights = np.full((2, 2), 0.25, np.float32)
    large, small = np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32)
    large[:, :] = 1
    large[7, 7], small[7, 7] = 0, 1
    (whole, share), (part, none) = finding_logits(class_map, weights, [large, small])
    assert (share, none) == (pytest.approx(1.0), 0.0)
    assert whole[0] == pytest.approx(1.5)
    assert part[0] == pytest.approx(3.0)


def exam(fake: ModuleType, *lesions: tuple[int, int, int, float]) -> RawImage:
    return RawImage(fake.draw_exam(*lesions), None, None, (), "exam")


def test_with_one_finding_lesion_and_image_have_the_same_score(fake: ModuleType, fake_folder) -> None:
    report = Analyzer(fake_folder).analyze(exam(fake, (120, 130, 40, 0.02)))
    (finding,) = report.findings
    assert report.prediction.label == "malignant"
    assert finding.score == report.prediction.probability("malignant")  # to the last bit


def test_with_two_findings_the_image_lies_between_and_is_their_weighted_mean(
    fake: ModuleType, fake_folder
) -> None:
    analyzer = Analyzer(fake_folder)
    raw = exam(fake, (80, 70, 34, 0.02), (180, 190, 28, 0.16))
    report = analyzer.analyze(raw)
    deep, shallow = report.findings
    assert deep.score > report.prediction.probability("malignant") > shallow.score

    image, frame = analyzer.bundle.card.preprocess.apply(raw.pixels)
    outputs = analyzer._network.run(image)
    masks = []
    for finding in report.findings:
        mask = np.zeros(raw.shape, np.float32)
        box = finding.box
        mask[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)] = 1
        masks.append(frame.to_model(mask))  # boxes stand in for outlines: far apart, the nearest is the same
    parts = finding_logits(outputs.class_map, outputs.pool_weights, masks)
    assert sum(share * logits for logits, share in parts) == pytest.approx(outputs.class_logits, abs=1e-4)
    for finding, (logits, _) in zip(report.findings, parts, strict=True):
        assert finding.score == pytest.approx(reference_softmax(logits / 1.5)[2], abs=2e-2)

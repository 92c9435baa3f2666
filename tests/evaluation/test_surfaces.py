"""Surface distances against MONAI and by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from senoscope.evaluation.surfaces import outline, surface_scores


def blob(seed: int, shape: tuple[int, int] = (60, 80), level: float = 0.6) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), 5)
    return noise > np.quantile(noise, level)


def square(top: int, left: int, side: int, shape: tuple[int, int] = (20, 20)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("seed", range(8))
def test_equal_to_monai(seed: int) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    first, second = blob(seed, level=0.5 + 0.05 * seed), blob(seed + 100, level=0.7)
    if seed % 2:  # overlapping shapes too
        second = np.roll(first, (seed, -seed), (0, 1))
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (second, first)]
    hd95 = metrics.compute_hausdorff_distance(*tensors, include_background=True, percentile=95)
    nsd = metrics.compute_surface_dice(*tensors, class_thresholds=[2.0], include_background=True)
    scores = surface_scores(first, second)
    assert scores.hd95 == pytest.approx(float(hd95), abs=1e-5)
    assert scores.nsd == pytest.approx(float(nsd), abs=1e-6)


def test_shifted_square_by_hand() -> None:
    # 5×5 outlines of 16 pixels, shifted by 4 columns: the far column is 4 px away, the shared column 0.
    scores = surface_scores(square(5, 5, 5), square(5, 9, 5))
    assert scores.hd95 == 4.0
    # Within 2 px of the other outline: columns 7, 8 (2 px each) and 9 (5 px) of the first, and mirrored.
    assert scores.nsd == pytest.approx(2 * (2 + 2 + 5) / 32)


def test_one_pixel_and_border() -> None:
    assert outline(square(0, 0, 1)).tolist() == [[0, 0]]
    assert len(outline(np.ones((4, 5), bool))) == 2 * 5 + 2 * 2  # the image border is background
    assert surface_scores(square(0, 0, 1), square(3, 4, 1)).hd95 == 5.0


def test_identical_and_empty() -> None:
    mask, empty = blob(1), np.zeros((60, 80), bool)
    assert surface_scores(mask, mask) == (0.0, 1.0)
    assert surface_scores(mask, empty) == surface_scores(empty, mask) == (None, 0.0)
    assert surface_scores(empty, empty) == (None, None)


def test_symmetric_and_turned() -> None:
    first, second = blob(3), blob(4)
    assert surface_scores(first, second) == surface_scores(second, first)
    assert surface_scores(first.T, second.T) == pytest.approx(surface_scores(first, second))


def test_quick_enough_for_every_case() -> None:
    rows, columns = np.mgrid[:400, :400]
    first = (rows - 200) ** 2 + (columns - 200) ** 2 < 100**2
    second = (rows - 190) ** 2 + ((columns - 210) * 1.2) ** 2 < 95**2
    best = np.inf
    for _ in range(20):
        start = time.process_time()
        surface_scores(first, second)
        best = min(best, time.process_time() - start)
    assert best < 0.003

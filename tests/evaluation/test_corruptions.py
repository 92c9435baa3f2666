"""Corruptions: nothing at their neutral amount, worse with severity, the same again; truth moves with the picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from senoscope.data.phantoms import simulate
from senoscope.errors import UsageError
from senoscope.evaluation import corruptions
from senoscope.schema import BoolArray, FloatArray

ALL = [
    (name, level)
    for name in corruptions.names()
    for level in range(1, len(corruptions.find(name).amounts) + 1)
]
NEUTRAL = {
    "speckle": 0, "gain": 0, "tgc": 0, "contrast": 1, "gamma": 1, "blur": 0, "resize": 4096, "text": 0, "calipers": 0,
    "depth": 1, "aspect": 1, "crop": 0,
}  # fmt: skip
DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "corruptions.md"


@pytest.fixture(scope="module")
def exam() -> tuple[FloatArray, BoolArray]:
    phantom = simulate(11, "malignant", 200)
    return phantom.image.astype(np.float32) / np.float32(255), phantom.mask


def disc(
    height: int = 160, width: int = 240, row: int = 60, column: int = 90, radius: int = 25
) -> tuple[FloatArray, BoolArray]:
    """A white disc on dark grey, and its mask."""
    rows, columns = np.mgrid[:height, :width]
    mask = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return np.where(mask, 1.0, 0.2).astype(np.float32), mask


def apply(name: str, image: FloatArray, amount: float, case: int = 0) -> FloatArray:
    return corruptions.find(name).apply(image, None, amount, np.random.default_rng(case))[0]


@pytest.mark.parametrize(("name", "level"), ALL)
def test_kind_of_image_is_kept_and_the_same_comes_again(
    name: str, level: int, exam: tuple[FloatArray, BoolArray]
) -> None:
    image, mask = exam
    before = image.copy(), mask.copy()
    changed, moved = corruptions.corrupt(name, level, image, mask, seed=3, case="a")
    assert moved is not None
    assert changed.dtype == np.float32
    assert 0 <= changed.min() <= changed.max() <= 1
    assert changed.shape == moved.shape
    assert moved.dtype == np.bool_
    assert moved.any()
    assert not np.array_equal(changed, image)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])
    corruptions.corrupt(name, level, image, mask, seed=3, case="b")  # what happened between does not matter
    again, moved_again = corruptions.corrupt(name, level, image, mask, seed=3, case="a")
    np.testing.assert_array_equal(changed, again)
    np.testing.assert_array_equal(moved, moved_again)
    assert corruptions.corrupt(name, level, image, None, seed=3, case="a")[1] is None
    if not corruptions.find(name).moves:
        np.testing.assert_array_equal(moved, mask)


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_amount_changes_nothing(name: str, exam: tuple[FloatArray, BoolArray]) -> None:
    changed, mask = corruptions.find(name).apply(*exam, NEUTRAL[name], np.random.default_rng(0))
    np.testing.assert_allclose(changed, exam[0], atol=1e-6)
    np.testing.assert_array_equal(mask, exam[1])


@pytest.mark.parametrize("name", [n for n in corruptions.names() if n not in ("aspect", "crop", "flip")])
def test_severity_makes_it_worse(name: str, exam: tuple[FloatArray, BoolArray]) -> None:
    """Mean squared error over 24 draws rises, so PSNR falls."""
    image, _ = exam
    distances = []
    for level in range(1, 6):
        drawn = [corruptions.corrupt(name, level, image, None, seed=0, case=str(c))[0] for c in range(24)]
        distances.append(np.mean([(changed - image) ** 2 for changed in drawn]))
    psnr = -10 * np.log10(distances)
    assert (np.diff(psnr) < 0).all(), psnr


def test_every_part_of_the_key_matters(exam: tuple[FloatArray, BoolArray]) -> None:
    others = ((1, "a", "text", 1), (0, "b", "text", 1), (0, "a", "blur", 1), (0, "a", "text", 2))
    drawn = [corruptions.generator(*key).integers(2**62) for key in ((0, "a", "text", 1), *others)]
    assert len(set(drawn)) == 5


def test_gamma_is_a_power_both_ways() -> None:
    image = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    found = {
        round(float(np.log(apply("gamma", image, 2, c)[8, 0]) / np.log(image[8, 0])), 3) for c in range(12)
    }
    assert found == {0.5, 2.0}


def test_gain_and_range_follow_the_decibel_scale_of_the_display() -> None:
    image = np.full((40, 40), 0.5, np.float32)
    gains = {round(float(apply("gain", image, 6, c).mean()), 4) for c in range(12)}
    assert gains == {0.4, 0.6}  # 6 dB of 60 dB
    ranges = {round(float(apply("contrast", image, 1.25, c).mean()), 4) for c in range(12)}
    assert ranges == {0.375, 0.6}  # 1 - 0.5 · 1.25, 1 - 0.5 / 1.25
    tilted = apply("tgc", image, 12)
    assert sorted(tilted[[0, -1], 0].tolist()) == pytest.approx([0.3, 0.7])
    np.testing.assert_allclose(tilted.mean(), 0.5, atol=1e-6)


def test_black_outside_the_scanned_field_stays_black() -> None:
    image = np.zeros((200, 200), np.float32)
    image[:, 80:120] = 0.5
    for name, amount in (("gain", 15), ("tgc", 20), ("contrast", 2), ("speckle", 0.35)):
        for case in range(4):
            assert apply(name, image, amount, case)[:, :60].max() < 1e-6, name


def test_blur_is_gaussian_of_the_named_width() -> None:
    """The response to one bright pixel has the variance of the Gaussian, in pixels of this image's size."""
    image = np.zeros((257, 512), np.float32)
    image[128, 256] = 1
    response = apply("blur", image, 3).astype(np.float64)
    assert response.sum() == pytest.approx(1, abs=1e-3)
    rows, columns = np.mgrid[:257, :512]
    sigma = 3 * 512 / 256
    assert (response * (rows - 128) ** 2).sum() / response.sum() == pytest.approx(sigma**2, rel=0.02)
    assert (response * (columns - 256) ** 2).sum() / response.sum() == pytest.approx(sigma**2, rel=0.02)


def test_jpeg_is_pillows(exam: tuple[FloatArray, BoolArray]) -> None:
    pixels = np.rint(exam[0] * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=18)
    expected = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    level = corruptions.find("jpeg").amounts.index(18) + 1
    changed, _ = corruptions.corrupt("jpeg", level, exam[0], None, seed=0, case="a")
    np.testing.assert_array_equal(np.rint(changed * 255), expected)


def test_resize_loses_what_the_small_copy_cannot_hold() -> None:
    """Stripes of one pixel vanish at a quarter of the size; a gradient stays."""
    stripes = np.tile(np.array([0.2, 0.8], np.float32), (256, 128))
    np.testing.assert_allclose(apply("resize", stripes, 64)[8:-8, 8:-8], 0.5, atol=0.02)
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))
    np.testing.assert_allclose(apply("resize", ramp, 64)[:, 8:-8], ramp[:, 8:-8], atol=0.01)


def test_speckle_has_the_named_spread_and_a_grain_along_the_rows() -> None:
    image = np.full((256, 256), 0.5, np.float32)
    noise = apply("speckle", image, 0.1) / 0.5 - 1
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    across = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    along = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    assert across > along + 0.2
    # A Gaussian kernel of standard deviation 1 correlates neighbours by exp(-1/4).
    assert across == pytest.approx(np.exp(-0.25), abs=0.03)


@pytest.mark.parametrize("name", ["text", "calipers"])
def test_overlays_only_add_ink_to_a_small_part(name: str) -> None:
    image = np.full((300, 400), 0.3, np.float32)
    changed = apply(name, image, 3)
    assert (changed >= image).all()
    assert 0.0005 < (changed > image).mean() < 0.1
    assert changed.max() > 0.55


def centroid(mask: BoolArray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.mean()), float(columns.mean())


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["depth", "aspect", "crop", "flip"])
def test_the_truth_moves_with_the_picture(name: str, level: int) -> None:
    """A bright disc and its mask: after any change the bright pixels are the mask again."""
    image, mask = disc()
    moved, truth = corruptions.corrupt(
        name, 1 if name == "flip" else level, image, mask, seed=0, case=str(level)
    )
    assert truth is not None
    seen = moved >= 0.6  # halfway between disc and ground
    np.testing.assert_allclose(centroid(truth), centroid(seen), atol=0.3)
    assert (seen ^ truth).sum() <= 0.03 * truth.sum()


def test_where_the_disc_goes() -> None:
    """By hand: pixel centres (60, 90) of 160×240, that is 60.5 and 90.5 from the edges."""
    image, mask = disc()
    flipped = corruptions.corrupt("flip", 1, image, mask, seed=0, case="")[1]
    assert flipped is not None
    assert centroid(flipped) == (60, 240 - 1 - 90)
    deeper = corruptions.find("depth").apply(image, mask, 2, np.random.default_rng(0))
    assert deeper[1] is not None
    assert centroid(deeper[1]) == pytest.approx((60.5 / 2 - 0.5, 60 + 90.5 / 2 - 0.5), abs=0.1)
    assert deeper[1].sum() == pytest.approx(mask.sum() / 4, rel=0.02)
    assert deeper[0][80:].max() == deeper[0][:, :60].max() == 0
    shapes = set()
    for case in range(8):
        squeezed, truth = corruptions.find("aspect").apply(image, mask, 1.25, np.random.default_rng(case))
        assert truth is not None
        shapes.add(squeezed.shape)
        expected = (60.5 * squeezed.shape[0] / 160 - 0.5, 90.5 * squeezed.shape[1] / 240 - 0.5)
        assert centroid(truth) == pytest.approx(expected, abs=0.1)
    assert shapes == {(128, 240), (160, 192)}


def test_crop_keeps_the_lesion_while_it_fits() -> None:
    image, mask = disc(radius=40)  # 81 pixels across
    for case in range(20):
        cut, truth = corruptions.find("crop").apply(image, mask, 0.4, np.random.default_rng(case))
        assert cut.shape == (96, 144)
        assert truth is not None
        assert truth.sum() == mask.sum()
    image, mask = disc(row=80, radius=70)  # 141 across, in a window 96 high: cut alike above and below
    _, truth = corruptions.find("crop").apply(image, mask, 0.4, np.random.default_rng(0))
    assert truth is not None
    assert truth.shape == (96, 144)
    assert truth.sum() == mask[32:128].sum()


def test_wrong_names_and_severities_are_refused() -> None:
    image, mask = disc()
    with pytest.raises(UsageError, match="perhaps you mean 'speckle'"):
        corruptions.find("spekle")
    with pytest.raises(UsageError, match="flip has no severity 2"):
        corruptions.corrupt("flip", 2, image, mask, seed=0, case="a")


def test_the_reference_page_lists_every_amount() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name in corruptions.names():
        amounts = " | ".join(f"{amount:g}" for amount in corruptions.find(name).amounts)
        assert f"| `{name}` | {amounts} |" in text, f"{name} | {amounts}"

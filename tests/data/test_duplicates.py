"""Near-duplicates: copies of every kind are found, look-alikes are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import fft, ndimage

from senoscope import data
from senoscope.data import _hashing
from senoscope.data._register import best_match
from senoscope.data.duplicates import Duplicates, Pair, Rules, find_duplicates, find_groups, phash
from senoscope.errors import ImageError, UsageError
from senoscope.schema import FloatArray


def texture(seed: int, height: int = 150, width: int = 200) -> FloatArray:
    """Speckle over layers that darken with depth, all images alike in their large forms, with one dark blob."""
    rng = np.random.default_rng(seed)
    speckle = np.abs(ndimage.gaussian_filter(rng.normal(size=(height, width)), (1.2, 2.0)))
    speckle /= speckle.max()
    layers = ndimage.gaussian_filter1d(rng.normal(size=height), 8)[:, None]
    y, x = np.mgrid[:height, :width]
    cy, cx = rng.uniform(0.3, 0.6) * height, rng.uniform(0.3, 0.7) * width
    blob = 1 - 0.8 * (((y - cy) / 25) ** 2 + ((x - cx) / 35) ** 2 < 1)
    depth = np.linspace(1, 0.3, height)[:, None]
    image = (0.25 + 0.9 * speckle + 0.4 * layers) * depth * blob
    return np.clip(image, 0, 1).astype(np.float32)


def recompressed(gray: FloatArray, quality: int = 50) -> FloatArray:
    stream = io.BytesIO()
    Image.fromarray((gray * 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream), dtype=np.float32) / 255


def resized(gray: FloatArray, height: int, width: int) -> FloatArray:
    image = Image.fromarray(gray).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(image), 0, 1)


CROWD = [texture(seed) for seed in range(8)]
ORIGINAL = CROWD[3]
COPIES = {
    "same": ORIGINAL,
    "recompressed": recompressed(ORIGINAL),
    "smaller": resized(ORIGINAL, 90, 120),
    "stretched": resized(ORIGINAL, 150, 150),
    "brighter": np.clip(ORIGINAL * 1.2 + 0.05, 0, 1),
    "letterboxed": np.pad(ORIGINAL, ((30, 10), (0, 40))),
    "mirrored": ORIGINAL[:, ::-1],
    "mirrored and smaller": recompressed(resized(ORIGINAL[:, ::-1], 75, 100), 80),
    "crop": ORIGINAL[20:140, 30:190],
    "crop of half": ORIGINAL[30:120, 50:170],
    "mirrored crop": recompressed(ORIGINAL[10:125, 5:150][:, ::-1], 80),
    "enlarged crop": resized(ORIGINAL[20:140, 30:190], 240, 320),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found_among_look_alikes(name: str) -> None:
    found = find_duplicates([*CROWD, COPIES[name]])
    assert [(pair.first, pair.second) for pair in found.pairs] == [(3, 8)]
    [pair] = found.pairs
    expected = "mirrored" if "mirrored" in name else "same"
    if "crop" in name:
        expected = "mirrored crop" if "mirrored" in name else "crop"
    assert pair.transform == expected
    assert found.groups == ((3, 8),)


def test_two_crops_of_one_picture_are_found() -> None:
    left, right = ORIGINAL[:130, :170], ORIGINAL[20:, 20:]
    assert find_groups([*CROWD[:3], left, right]) == ((3, 4),)


def test_look_alikes_are_not_taken_for_copies() -> None:
    assert find_duplicates(CROWD).pairs == ()


def test_without_the_crop_stage_crops_are_not_looked_for() -> None:
    assert find_groups([*CROWD, COPIES["crop of half"]], Rules(crops=False)) == ()


def test_groups_join_through_others() -> None:
    def pair(first: int, second: int) -> Pair:
        return Pair(first=first, second=second, transform="same", hamming=0, correlation=1.0)

    assert Duplicates((pair(0, 4), pair(2, 3), pair(4, 5)), 6).groups == ((0, 4, 5), (2, 3))


def test_nothing_and_one_image() -> None:
    assert find_duplicates([]).pairs == ()
    assert find_duplicates(CROWD[:1]).groups == ()


def test_flat_images_do_no_harm() -> None:
    flat = np.full((50, 60), 0.5, dtype=np.float32)
    found = find_duplicates([CROWD[0], flat, CROWD[0]])
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 2)]


def test_files_are_read_and_bad_ones_named(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, (CROWD[0], CROWD[1], recompressed(CROWD[0])), strict=True):
        Image.fromarray((image * 255).astype(np.uint8)).save(path)
    assert find_groups(paths) == ((0, 2),)
    paths[1].write_bytes(b"")
    with pytest.raises(ImageError, match=r"1\.png"):
        find_groups(paths)


def test_rules_out_of_range() -> None:
    with pytest.raises(UsageError, match="65"):
        find_groups(CROWD, Rules(hamming=65))


# The parts, against independent references


def test_the_spectrum_is_scipys_dct_of_the_image() -> None:
    image = CROWD[0][:96, :128]
    reference = fft.dctn(image, type=2)[:8, :8] / (4 * image.size)
    np.testing.assert_allclose(_hashing.spectrum(image).reshape(8, 8), reference, atol=1e-5)


def test_the_spectrum_of_a_crop_is_that_of_the_crop_alone() -> None:
    image = CROWD[0][:100, :100]
    crops = _hashing.spectrum(image, ((0.2, 0.5),), ((0.0, 1.0), (0.4, 0.6)))
    np.testing.assert_allclose(crops[1], _hashing.spectrum(image[20:70, 40:]), atol=1e-5)


def test_a_mirrored_spectrum_is_that_of_the_mirrored_image() -> None:
    mirrored = _hashing.mirror(_hashing.spectrum(CROWD[1]))
    np.testing.assert_allclose(mirrored, _hashing.spectrum(CROWD[1][:, ::-1].copy()), atol=1e-5)


def test_hash_distance_is_the_count_of_different_bits() -> None:
    bits = [_hashing.signs(_hashing.spectrum(_hashing.shrink(image)))[None] for image in CROWD[:2]]
    by_hand = (phash(CROWD[0]) ^ phash(CROWD[1])).bit_count()
    assert _hashing.distance(bits[0], bits[1])[0, 0] == by_hand
    assert phash(CROWD[0]) == phash(COPIES["same"] * 0 + CROWD[0])
    assert (phash(ORIGINAL) ^ phash(COPIES["recompressed"])).bit_count() <= 2


def test_thumbnails_multiply_to_their_correlation() -> None:
    one, two = (_hashing.resize(image, 64, 64).ravel() for image in CROWD[:2])
    product = float(_hashing.thumbnail(CROWD[0]) @ _hashing.thumbnail(CROWD[1]))
    assert product == pytest.approx(np.corrcoef(one, two)[0, 1], abs=1e-4)


def test_best_match_agrees_with_correlation_at_every_place() -> None:
    image = CROWD[2][:40, :50]
    template = image[7:25, 11:33] + 0.02 * CROWD[5][:18, :22]
    score, y, x = best_match(template * 10, image * 10)
    every = {
        (i, j): np.corrcoef(template.ravel(), image[i : i + 18, j : j + 22].ravel())[0, 1]
        for i in range(40 - 18 + 1)
        for j in range(50 - 22 + 1)
    }
    assert (y, x) == max(every, key=lambda place: every[place]) == (7, 11)
    assert score == pytest.approx(every[7, 11], abs=1e-4)
    assert best_match(image, template) == (0.0, 0, 0)


# The real thing


def real(name: str, ids: tuple[str, ...]) -> list[Path]:
    if not data.is_found(name):
        pytest.skip(f"no copy of {name}: SENOSCOPE_DATA names no folder that holds it")
    records = {record.id.partition(":")[2]: record.image for record in data.load(name)}
    return [records[id] for id in ids]


def test_busi_pictures_that_stand_in_it_under_two_labels_are_found() -> None:
    ids = (
        *("benign (433)", "malignant (145)", "benign (42)", "benign (131)", "malignant (51)"),
        *("benign (399)", "malignant (93)", "benign (269)", "normal (1)", "benign (437)", "normal (34)"),
        *("benign (1)", "malignant (1)", "normal (2)", "benign (49)", "benign (103)"),
    )
    assert find_groups(real("busi", ids)) == ((0, 1), (2, 3, 4), (5, 6), (7, 8), (9, 10))


def test_busi_crops_are_found_by_their_speckle() -> None:
    # Differently cropped copies, too far apart for the hash of the whole picture; cysts that only look alike are not.
    ids = (
        "malignant (95)",
        "malignant (97)",
        "malignant (11)",
        "malignant (113)",
        "benign (62)",
        "benign (140)",
    )
    paths = real("busi", (*ids, "benign (49)", "benign (36)", "benign (68)", "benign (174)", "benign (184)"))
    found = find_duplicates(paths)
    assert found.groups == ((0, 1), (2, 3), (4, 5))
    assert {pair.transform for pair in found.pairs} == {"crop"}


def test_bus_bra_patients_under_two_case_numbers_are_found() -> None:
    paths = real(
        "bus-bra", ("bus_0044-r", "bus_0065-r", "bus_0056-l", "bus_0091-l", "bus_0001-l", "bus_0001-r")
    )
    assert find_groups(paths) == ((0, 1), (2, 3))

"""Phantoms: physics against theory, masks against the tissue that was altered, files there and back."""

from __future__ import annotations

import csv
import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import contourpy
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from senoscope.data import _acoustics, _lesion_kinds, _lesions, phantoms
from senoscope.data._acoustics import Tissue, path_loss, speckle
from senoscope.data._anatomy import build
from senoscope.data._lesions import ANGLES, Lesion
from senoscope.data._scanner import Grid, Scanner, beam_grid, draw_scanner, field, image_grid
from senoscope.data.phantoms import draw_scene, read, simulate, write_dataset
from senoscope.errors import DatasetError, UsageError
from senoscope.schema import CLASSES


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def plain_scanner(**changes: object) -> Scanner:
    """40 × 40 mm, 8 MHz, the same beam everywhere, nothing lost under the edges, no border."""
    base: dict[str, Any] = {
        "depth": 40.0,
        "width": 40.0,
        "frequency": 8.0,
        "pulse": 0.12,
        "beam": 0.3,
        "focus": 20.0,
        "focal_zone": 1e6,
        "fan": 0.0,
        "contact": (0.0, 0.0),
        "border": (0.0, 0.0),
        "gain": 0.0,
        "gamma": 1.0,
    }
    return replace(draw_scanner(rng()), **{**base, **changes})


def disc(radius: float, **changes: object) -> Lesion:
    base: dict[str, Any] = {
        "kind": "disc",
        "label": "benign",
        "half_width": radius,
        "half_height": radius,
        "level": -20.0,
        "contrast": 0.0,
        "outline": np.ones(ANGLES, np.float32),
        "mottle": 0.0,
        "loss": 0.7,
        "soft": 0.02,
        "x": 0.0,
        "z": 15.0,
    }
    return Lesion(**{**base, **changes})


def uniform(grid: Grid, loss: float = 0.7) -> Tissue:
    shape = grid.shape
    return Tissue(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.full(shape, loss, np.float32))


# --- seeds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", CLASSES)
def test_same_seed_gives_the_same_bytes(label: str) -> None:
    first, second = simulate(5, label, 128), simulate(5, label, 128)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.mask.tobytes() == second.mask.tobytes()
    assert (first.spacing, first.label, first.seed) == (second.spacing, label, 5)


def test_earlier_calls_do_not_matter() -> None:
    alone = simulate(11, size=96).image
    np.random.default_rng().random()
    simulate(12, size=96)
    assert np.array_equal(simulate(11, size=96).image, alone)


def test_other_seeds_give_other_pictures() -> None:
    digests = {hashlib.sha256(simulate(seed, size=64).image.tobytes()).hexdigest() for seed in range(12)}
    assert len(digests) == 12


def test_drawn_label_is_the_label_one_may_ask_for() -> None:
    for seed in range(6):
        drawn = simulate(seed, size=64)
        assert np.array_equal(drawn.image, simulate(seed, drawn.label, 64).image)


def test_labels_are_drawn_evenly() -> None:
    labels = [phantoms._label(seed, None) for seed in range(1500)]
    counts = [labels.count(name) for name in CLASSES]
    assert sum(counts) == 1500
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("size", [64, 100, 256])
def test_shapes_and_types(size: int) -> None:
    phantom = simulate(3, "malignant", size)
    assert phantom.image.shape == phantom.mask.shape == (size, size)
    assert (phantom.image.dtype, phantom.mask.dtype) == (np.uint8, np.bool_)
    height, width = (step * size for step in phantom.spacing)
    assert 26 <= height <= 46
    assert 0.9 <= width / height <= 1.3


def test_the_place_in_mm_does_not_depend_on_the_size() -> None:
    """Tissue noise differs with the size; the lesion's outline must not."""
    for seed in range(5):
        small, large = simulate(seed, "benign", 128), simulate(seed, "benign", 256)
        coarse = large.mask.reshape(128, 2, 128, 2).mean(axis=(1, 3)) >= 0.5
        assert np.count_nonzero(coarse != small.mask) <= 0.06 * np.count_nonzero(small.mask) + 6


# --- masks ---------------------------------------------------------------------------------------------------------


def test_normal_has_an_empty_mask_and_lesions_have_one_that_fits() -> None:
    for seed in range(12):
        assert not simulate(seed, "normal", 64).mask.any()
        for label in ("benign", "malignant"):
            mask = simulate(seed, label, 64).mask
            assert mask.any()
            assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_mask_is_where_the_tissue_was_altered(label: str) -> None:
    """Attenuation changes half-way from the tissue's to the lesion's exactly on the margin."""
    compared = 0
    for seed in range(12):
        scanner = draw_scanner(phantoms._stream(seed, 0))
        grid = beam_grid(scanner, 128)
        tissue, layers = build(phantoms._stream(seed, 1), grid)
        before = tissue.loss.copy()
        lesion = _lesion_kinds.draw_lesion(phantoms._stream(seed, 2), label, grid, layers)
        lesion = replace(lesion, wall_loss=0.0, calcifications=0)
        _lesions.insert(rng(), lesion, tissue, grid)
        clear = np.abs(lesion.loss - before) > 0.1
        altered = (tissue.loss - before) / np.where(clear, lesion.loss - before, 1) > 0.5
        clear &= np.abs(lesion.polar(grid.z, grid.x)[0]) > 1e-4  # mm: single precision on the margin itself
        assert np.array_equal(altered[clear], lesion.mask(grid)[clear])
        compared += np.count_nonzero(clear & lesion.mask(grid))
        # the picture's mask is the same outline on the pixels' centres
        shown = simulate(seed, label, 128).mask
        assert np.array_equal(shown, lesion.mask(image_grid(scanner, 128)))
        if not scanner.fan:
            halves = lesion.mask(grid).reshape(128, 2, 128).mean(axis=1)
            assert np.count_nonzero(~shown[halves == 1]) <= 2
            assert np.count_nonzero(shown[halves == 0]) <= 2  # a spicule's tip may fit between two samples
    assert compared > 5000


def test_mask_of_a_disc_has_the_area_of_a_circle() -> None:
    grid = image_grid(plain_scanner(), 400)
    assert np.count_nonzero(disc(8).mask(grid)) * grid.dz * grid.dx == pytest.approx(np.pi * 64, rel=0.005)
    assert not disc(8, x=-100.0).mask(grid).any()


@pytest.mark.parametrize("fan", [0.0, 0.006])
def test_what_is_dark_in_the_picture_is_what_the_mask_says(fan: float) -> None:
    """Also when the lines fan out: the picture and the mask must be converted alike."""
    scanner = plain_scanner(fan=fan, tgc=0.7, clutter=-40.0, noise=-70.0)
    grid, lesion = beam_grid(scanner, 192), disc(5, x=9.0, z=14.0, level=-60.0)
    tissue = uniform(grid)
    _lesions.insert(rng(), lesion, tissue, grid)
    picture = _acoustics.b_mode(rng(1), tissue, scanner, grid).astype(float)
    mask = lesion.mask(image_grid(scanner, 192))
    near = ndimage.binary_dilation(mask, iterations=15)
    dark = (ndimage.gaussian_filter(picture, 1) < picture[near].mean()) & near
    assert 2 * np.count_nonzero(dark & mask) / (dark.sum() + mask.sum()) > 0.95
    black = (picture == 0).mean()  # corners beside a fan: two triangles, fan · depth · width / 4 each
    assert black - (0.06 if fan else 0.0) == pytest.approx(mask.mean(), abs=0.06)


def test_lesions_stand_out_from_what_is_around_them() -> None:
    """A person, and a network, must be able to see the boundary: mean contrast of at least 12 grey levels."""
    faint = []
    for seed in range(30):
        phantom = simulate(seed, CLASSES[1 + seed % 2], 96)
        ring = ndimage.binary_dilation(phantom.mask, iterations=5) & ~ndimage.binary_dilation(phantom.mask)
        contrast = phantom.image[ring].mean() - phantom.image[phantom.mask].mean()
        if contrast < 12:
            faint.append((seed, contrast))
    assert not faint


# --- physics -------------------------------------------------------------------------------------------------------


def test_speckle_is_fully_developed() -> None:
    """Rayleigh envelope: mean over standard deviation √(π / (4 − π)) = 1.913 (Wagner et al. 1983)."""
    scanner = plain_scanner()
    grid = beam_grid(scanner, 512)
    ones, nothing = np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    intensity = speckle(rng(3), ones, nothing, 0.0, scanner, grid)[40:-40, 40:-40]
    envelope = np.sqrt(intensity)
    assert envelope.mean() / envelope.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), abs=0.04)
    assert intensity.mean() == pytest.approx(2, rel=0.03)
    independent = envelope[::12, ::24].ravel()  # further apart than the point-spread function reaches
    assert len(independent) > 1200
    assert stats.kstest(independent, "rayleigh").pvalue > 0.001


@pytest.mark.parametrize(("axis", "sigma"), [(0, 0.24), (1, 0.5)])
def test_speckle_is_as_wide_as_the_point_spread_function(axis: int, sigma: float) -> None:
    """Of a Gaussian field with PSF deviation σ the intensity's autocorrelation at lag d is exp(−d² / 2σ²)."""
    scanner = plain_scanner(pulse=0.24, beam=0.5)
    grid = beam_grid(scanner, 400)
    ones, nothing = np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    intensity = speckle(rng(4), ones, nothing, 0.0, scanner, grid)[30:-30, 30:-30]
    lag = round(sigma / (grid.dz, grid.dx)[axis])
    moved = np.moveaxis(intensity, axis, 0)
    correlation = np.corrcoef(moved[:-lag].ravel(), moved[lag:].ravel())[0, 1]
    distance = lag * (grid.dz, grid.dx)[axis]
    assert correlation == pytest.approx(np.exp(-(distance**2) / (2 * sigma**2)), abs=0.05)


def test_speckle_widens_away_from_the_focus() -> None:
    scanner = plain_scanner(focal_zone=6.0)
    grid = beam_grid(scanner, 256)
    ones, nothing = np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    intensity = speckle(rng(5), ones, nothing, 0.0, scanner, grid)

    def next_line(rows: slice) -> float:
        return float(np.corrcoef(intensity[rows, :-2].ravel(), intensity[rows, 2:].ravel())[0, 1])

    assert next_line(slice(430, 512)) > next_line(slice(215, 297)) + 0.2


def test_attenuation_is_two_way_and_in_db() -> None:
    """0.7 dB/cm/MHz over 3 cm and back at 0.75 · 8 MHz: 2 · 0.7 · 3 · 6 = 25.2 dB."""
    scanner = plain_scanner()
    grid = beam_grid(scanner, 300)
    lost = path_loss(uniform(grid).loss, scanner, grid)
    row = int(30 / grid.dz)
    assert lost[row] == pytest.approx(25.2, abs=0.15)
    assert np.allclose(np.diff(lost, axis=0), 2 * 0.7 * grid.dz / 10 * 6, rtol=1e-3)


@pytest.mark.parametrize(("loss", "expected"), [(0.1, -0.6), (1.7, 1.0), (0.7, 0.0)])
def test_behind_a_lesion_only_its_attenuation_counts(loss: float, expected: float) -> None:
    """Behind the middle of a disc of 8 mm: Δα · 0.8 cm · 2 · 6 MHz; with the tissue's own α nothing at all."""
    scanner = plain_scanner()
    grid = beam_grid(scanner, 256)
    tissue = uniform(grid)
    lesion = disc(4, loss=loss)
    _lesions.insert(rng(), lesion, tissue, grid)
    lost = path_loss(tissue.loss, scanner, grid)
    row, middle = int(25 / grid.dz), grid.shape[1] // 2
    assert lost[row, middle] - lost[row, 5] == pytest.approx(expected * 0.8 * 12, abs=0.25)
    outside = ~lesion.mask(grid)
    far = outside & (np.abs(grid.z - 25) < 4)
    assert np.abs(tissue.echo[far]).max() < 1e-6  # nothing is painted below


def test_a_thin_wall_shadows_at_its_sides() -> None:
    """The beam runs longest through the wall where it grazes it: edge shadows without being drawn."""
    scanner = plain_scanner()
    grid = beam_grid(scanner, 256)
    tissue = uniform(grid)
    _lesions.insert(rng(), disc(4, wall_loss=4.0), tissue, grid)
    lost = path_loss(tissue.loss, scanner, grid)[int(25 / grid.dz)]
    at = {x: lost[int((x + 20) / grid.dx)] for x in (-12.0, 0.0, 4.0)}
    assert at[4.0] > at[0.0] + 2 > at[-12.0] + 2


def below_against_beside(seed: int, label: str) -> tuple[str, float]:
    """Grey levels that a lesion adds below itself, more than beside it, against the same breast without it."""
    scene = draw_scene(seed, label, 128)
    shown = _acoustics.b_mode(phantoms._stream(seed, 3), scene.tissue, scene.scanner, scene.grid)
    change = shown.astype(float) - simulate(seed, "normal", 128).image
    mask = scene.lesions[0].mask(image_grid(scene.scanner, 128))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    third = max(1, len(columns) // 3)
    below = slice(rows[-1] + 6, rows[-1] + 23)
    beside = np.r_[0 : max(1, columns[0] - 2 * third), min(127, columns[-1] + 2 * third) : 128]
    under = change[below, columns[0] + third : columns[-1] - third + 1].mean()
    return scene.lesions[0].kind, float(under - change[below, beside].mean())


def test_cysts_enhance_and_cancers_shadow() -> None:
    found: dict[str, list[float]] = {}
    for seed in range(20):
        for label in ("benign", "malignant"):
            kind, change = below_against_beside(seed, label)
            found.setdefault(kind, []).append(change)
    assert len(found["cyst"]) >= 3
    assert min(found["cyst"]) > 0
    assert np.mean(found["cyst"]) > 8
    assert np.mean(found["spiculated"]) < -15
    assert np.mean(found["dense"]) < -5  # some benign lesions shadow
    assert max(found["bulky"]) > np.median(found["spiculated"]) + 10  # and some cancers hardly do


# --- shapes --------------------------------------------------------------------------------------------------------


def measures(lesion: Lesion) -> tuple[float, float]:
    """Compactness 4πA/P² (1 for a circle) and height over width of a lesion's outline."""
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    x, y = (
        lesion.half_width * lesion.outline * np.cos(angle),
        lesion.half_height * lesion.outline * np.sin(angle),
    )
    area = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    length = np.hypot(np.roll(x, -1) - x, np.roll(y, -1) - y).sum()
    return 4 * np.pi * area / length**2, np.ptp(y) / np.ptp(x)


def test_malignant_outlines_are_rougher_and_taller_but_overlap() -> None:
    compact, aspect = {}, {}
    for label in ("benign", "malignant"):
        lesions = []
        for seed in range(40):
            scanner = draw_scanner(phantoms._stream(seed, 0))
            grid = beam_grid(scanner, 64)
            _, layers = build(phantoms._stream(seed, 1), grid)
            lesions.append(_lesion_kinds.draw_lesion(phantoms._stream(seed, 2), label, grid, layers))
        compact[label], aspect[label] = np.array([measures(lesion) for lesion in lesions]).T
    assert compact["malignant"].mean() < compact["benign"].mean() - 0.1
    assert aspect["malignant"].mean() > aspect["benign"].mean() + 0.25
    assert (aspect["malignant"] < np.quantile(aspect["benign"], 0.9)).mean() > 0.1
    assert compact["malignant"].max() > compact["benign"].min()


def draw_mask(seed: int, label: str) -> np.ndarray:
    scanner = draw_scanner(phantoms._stream(seed, 0))
    (lesion,) = draw_scene(seed, label, 64).lesions
    return lesion.mask(image_grid(scanner, 192))


def test_masks_in_the_picture_have_the_same_difference() -> None:
    def compactness(mask: np.ndarray) -> float:
        lines = contourpy.contour_generator(z=ndimage.gaussian_filter(mask.astype(float), 0.7)).lines(0.5)
        longest = max(lines, key=len)
        length = np.hypot(*np.diff(longest, axis=0).T).sum()
        return float(4 * np.pi * mask.sum() / length**2)

    means = {
        label: np.mean([compactness(draw_mask(seed, label)) for seed in range(12)])
        for label in ("benign", "malignant")
    }
    assert means["malignant"] < means["benign"] - 0.08


def test_smooth_noise_has_unit_variance() -> None:
    grid = beam_grid(plain_scanner(), 256)
    values = np.concatenate([field(rng(seed), grid, (1, 1)).ravel() for seed in range(4)])
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.06)


# --- speed ---------------------------------------------------------------------------------------------------------


def test_twenty_pictures_a_second_on_one_core() -> None:
    """Processor time of this thread, best of five rounds, so that a busy machine does not fail it."""
    simulate(0)
    rounds = []
    for start in range(0, 20, 4):
        begin = time.thread_time()
        for seed in range(start, start + 4):
            simulate(seed)
        rounds.append((time.thread_time() - begin) / 4)
    assert min(rounds) < 1 / 20


# --- files ---------------------------------------------------------------------------------------------------------


def test_written_datasets_read_back(tmp_path: Path) -> None:
    records = write_dataset(tmp_path, 7, seed=4, size=96)
    assert records == read(tmp_path)
    assert [record.label for record in records] == ["normal", "benign", "malignant"] * 2 + ["normal"]
    assert len({record.patient for record in records}) == len({record.id for record in records}) == 7
    with (tmp_path / "phantoms.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for record, row in zip(records, rows, strict=True):
        phantom = simulate(int(row["seed"]), record.label, int(row["size"]))
        assert np.array_equal(np.asarray(Image.open(record.image)), phantom.image)
        assert (record.dataset, record.modality, record.patient) == ("phantoms", "US", record.id)
        assert record.spacing == pytest.approx(phantom.spacing, abs=1e-6)
        if record.label == "normal":
            assert record.masks == ()
        else:
            (path,) = record.masks or ()
            stored = np.asarray(Image.open(path))
            assert set(np.unique(stored)) == {0, 255}
            assert np.array_equal(stored > 0, phantom.mask)
    assert not list(tmp_path.rglob(".*"))


def test_written_datasets_are_reproducible_and_differ_by_seed(tmp_path: Path) -> None:
    one, same, other = (
        write_dataset(tmp_path / name, 3, seed, 64) for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    )
    assert [r.image.read_bytes() for r in one] == [r.image.read_bytes() for r in same]
    assert not {r.image.read_bytes() for r in one} & {r.image.read_bytes() for r in other}


def test_a_folder_that_is_no_phantom_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no phantoms\.csv"):
        read(tmp_path)
    records = write_dataset(tmp_path, 2, size=64)
    records[1].image.unlink()
    with pytest.raises(DatasetError, match=f"{records[1].id}.png is missing"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",normal,", ",fine,", "line 2"),
        ("id,label", "name,label", "other columns"),
        ("phantom-0-00000", "../phantom-0-00000", "line 2"),
        (",64,", ",64,x,", "line 2"),
        (",64,", ",64,-", "line 2"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    write_dataset(tmp_path, 1, size=64)
    manifest = tmp_path / "phantoms.csv"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DatasetError, match=says):
        read(tmp_path)


def test_a_manifest_of_other_bytes_is_named(tmp_path: Path) -> None:
    (tmp_path / "phantoms.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(DatasetError, match="not a CSV text"):
        read(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"seed": True},
        {"seed": 2**63},
        {"seed": 0, "label": "cyst"},
        {"seed": 0, "label": ""},
        {"seed": 0, "size": 63},
        {"seed": 0, "size": 4096},
        {"seed": 0, "size": 64.0},
    ],
)
def test_bad_arguments_are_misuse(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        simulate(**arguments)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert caught.value.expected


@pytest.mark.parametrize(
    "arguments", [{"count": 0}, {"count": -3}, {"count": 2, "seed": -1}, {"count": 2, "size": 8}]
)
def test_bad_dataset_arguments_leave_nothing_behind(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        write_dataset(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()

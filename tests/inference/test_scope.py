from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from senoscope._files import find_data
from senoscope.data.phantoms import simulate
from senoscope.imaging.raw import RawImage
from senoscope.inference.scope import (
    FEATURES,
    ScopeModel,
    fit_scope,
    judge,
    scope_features,
    uncertainty,
)


def raw(pixels: np.ndarray, modality: str | None = None) -> RawImage:
    return RawImage(pixels, None, modality, (), "x")


def speckle(seed: int, wide: float = 3.0) -> np.ndarray:
    """A crude ultrasound: speckle wider than deep, darker with depth."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    field = gaussian_filter(random.normal(size=(240, 300)), (1.0, wide))
    field = np.abs(field) / np.abs(field).mean() * 0.3
    return np.clip(field * np.linspace(1.3, 0.5, 240)[:, None], 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> ScopeModel:
    return fit_scope([speckle(seed, 2.6 + seed % 5 * 0.2) for seed in range(60)])


def test_features_by_hand() -> None:
    checker = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((8, 8))).astype(
        np.float32
    )  # 128×128, cells of 8
    values = dict(zip(FEATURES, scope_features(checker), strict=True))
    assert np.exp(values["contrast"]) == pytest.approx(0.501)
    assert np.exp(values["dark"]) == pytest.approx(0.51)
    assert np.exp(values["edges_across"]) == pytest.approx(15 / 127 / 0.501 + 0.001, rel=1e-3)
    assert values["edges_across"] == pytest.approx(values["edges_down"])
    assert values["skewness"] == pytest.approx(0, abs=1e-6)
    assert values["column_profile"] == pytest.approx(0, abs=1e-6)


def test_features_hardly_change_with_resolution() -> None:
    small = speckle(1)
    large = np.asarray(Image.fromarray(small).resize((900, 720), Image.Resampling.BICUBIC))
    assert scope_features(large) == pytest.approx(scope_features(small), abs=0.3)


def test_fitted_images_lie_within_and_others_beyond(model: ScopeModel) -> None:
    inside = [model.distance(speckle(seed)) <= model.threshold for seed in range(100, 140)]
    assert np.mean(inside) > 0.9
    turned = speckle(3).T.copy()  # speckle deeper than wide
    noise = np.random.default_rng(0).random((240, 300)).astype(np.float32)
    assert model.distance(turned) > model.threshold
    assert model.distance(noise) > model.threshold


def test_distance_is_mahalanobis(model: ScopeModel) -> None:
    gray = speckle(5)
    away = scope_features(gray) - np.array(model.mean)
    assert model.distance(gray) == pytest.approx(
        np.sqrt(away @ np.linalg.solve(np.linalg.inv(model.precision), away)), rel=1e-4
    )


def test_a_model_fitted_on_other_features_is_refused(model: ScopeModel) -> None:
    data = model.model_dump()
    with pytest.raises(ValidationError, match="features must be"):
        ScopeModel.model_validate({**data, "features": ("mean",)})
    with pytest.raises(ValidationError, match="precision"):
        ScopeModel.model_validate({**data, "precision": data["precision"][:-1]})


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        fit_scope([speckle(seed) for seed in range(5)])


def test_colour_and_modality_are_out_of_scope() -> None:
    gray = (speckle(1) * 255).astype(np.uint8)
    picture = np.repeat(gray[..., None], 3, axis=2)
    assert judge(raw(picture), speckle(1), None)[0] == ()
    doppler = picture.copy()
    doppler[60:140, 80:180] = (200, 30, 20)
    (reason,) = judge(raw(doppler), speckle(1), None)[0]
    assert "Doppler" in reason
    assert "11%" in reason  # 80 × 100 of 240 × 300 pixels
    (reason,) = judge(raw(gray, "MG"), speckle(1), None)[0]
    assert "MG" in reason
    assert judge(raw(gray, "US"), speckle(1), None)[0] == ()


def test_quality_notes_name_what_is_wrong() -> None:
    clean = speckle(1)
    assert judge(raw(clean), clean, None)[1] == ()
    bright = clean.copy()
    bright[:100] = 1.0
    notes = judge(raw(bright), bright, None)[1]
    assert any("saturated" in note for note in notes)
    assert any("low resolution: 120×100" in note for note in judge(raw(clean), clean[:100, :120], None)[1])
    marked = np.repeat((clean * 255).astype(np.uint8)[..., None], 3, axis=2)
    marked[:10, :10] = (0, 255, 0)
    assert any("coloured marks on 0.1%" in note for note in judge(raw(marked), clean, None)[1])


def test_uncertainty_is_normalised_entropy() -> None:
    assert uncertainty(np.array([1, 1, 1], np.float32) / 3) == pytest.approx(1)
    assert uncertainty(np.array([0, 0, 1], np.float32)) == 0
    assert uncertainty(np.array([0.5, 0.5, 0], np.float32)) == pytest.approx(np.log(2) / np.log(3))


DATA = find_data()


def pictures(folder: str, pattern: str, step: int, most: int) -> list[np.ndarray]:
    assert DATA is not None
    files = sorted(path for path in (DATA / folder).glob(pattern) if "_mask" not in path.name)[::step][:most]
    return [np.asarray(Image.open(path).convert("L"), dtype=np.float32) / 255 for path in files]


@pytest.mark.skipif(DATA is None, reason="the shared data folder is absent")
def test_on_real_pictures_ultrasound_is_in_scope_and_flowers_and_mammograms_are_not() -> None:
    phantoms = [simulate(seed).image.astype(np.float32) / 255 for seed in range(8)]
    fitted = fit_scope(
        pictures("Dataset_BUSI_with_GT", "*/*.png", 13, 60)
        + pictures("BUSBRA", "Images/*.png", 24, 60)
        + phantoms
    )

    def refused(images: list[np.ndarray]) -> float:
        assert images
        return float(np.mean([fitted.distance(image) > fitted.threshold for image in images]))

    assert refused(pictures("Dataset_BUSI_with_GT", "*/*.png", 31, 25)) <= 0.04
    assert refused(pictures("BUSBRA", "Images/*.png", 59, 25)) <= 0.04
    assert refused(pictures("17flowers", "jpg/*.jpg", 16, 25)) > 0.9
    assert refused(pictures("all-mias", "*.pgm", 16, 20)) > 0.95

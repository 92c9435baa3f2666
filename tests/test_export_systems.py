"""A run of any system becomes a bundle, and the bundle reads an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from senoscope import models
from senoscope.cli.main import main
from senoscope.data.phantoms import simulate, write_dataset
from senoscope.errors import BundleError, UsageError
from senoscope.export import export_onnx, export_run
from senoscope.export.network import round_weights, save_weights
from senoscope.imaging.preprocess import Preprocess
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.bundle import load_bundle
from senoscope.inference.model_card import render
from senoscope.models.interface import Outputs, System
from senoscope.training import runs
from senoscope.training.build import build_system
from senoscope.training.data import collect
from senoscope.training.predict import load_run, predict
from senoscope.training.recipe import make_recipe


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, 42, seed=9, size=96)
    return folder


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Any:
    """The folder of a run that ended before its first step: everything is there but what learning adds."""

    def make(system: str, **changes: Any) -> Path:
        recipe = make_recipe(
            {"name": f"tiny-{system}", "system": system, "data": [{"name": "phantoms", "root": str(root)}],
             "valid_fraction": 0.3, "preprocess": {"size": 64}, "train_size": 64, **changes}
        )  # fmt: skip
        folder = tmp_path_factory.mktemp(system)
        runs.open_run(folder, recipe, collect(recipe), resume=False)
        torch.manual_seed(0)
        runs.close_run(folder, build_system(recipe).state_dict(), [{"epoch": 0, "loss": 1.0, "dice": 0.0}])
        return folder

    return make


@pytest.fixture(scope="module")
def classifier(make_run: Any) -> Path:
    return make_run("resnet18")


@pytest.fixture(scope="module")
def segmenter(make_run: Any) -> Path:
    return make_run("unet", options=models.info("unet").facts["tiny"])


@pytest.mark.slow
def test_a_classifier_becomes_a_bundle_that_classifies(classifier: Path, root: Path) -> None:
    folder = export_run(classifier, classifier / "bundle", progress=False)
    card = load_bundle(folder).card
    assert (card.system, card.gives) == ("resnet18", ("class_logits", "class_map", "pool_weights"))
    assert card.modalities == ("US",)
    assert card.calibration is not None
    assert card.calibration.n == json.loads((classifier / runs.MANIFEST).read_text())["cases"]["valid"]
    assert "classifying single images" in card.intended_use
    assert "Cairo" not in " ".join(card.limits)
    assert "42 images of phantoms" in card.limits[0]

    exam = simulate(11, "malignant", 96).image.astype(np.float32) / np.float32(255)
    prediction = Analyzer(folder, threads=1).predict(exam)
    recipe, model = load_run(classifier)
    image, _ = recipe.preprocess.apply(exam)
    with torch.inference_mode():
        logits = model(torch.from_numpy(image)[None, None]).class_logits[0] / card.temperature
    np.testing.assert_allclose(
        prediction.probabilities, logits.softmax(0).numpy(), atol=5e-3
    )  # rounded to 16 bits
    assert prediction.lesion_map is None
    assert prediction.heatmap is not None
    assert prediction.heatmap.shape == (96, 96)


@pytest.mark.slow
def test_a_segmenter_becomes_a_bundle_that_outlines(
    segmenter: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = export_run(segmenter, tmp_path / "bundle", progress=False)
    card = load_bundle(folder).card
    assert (card.gives, card.classes, card.calibration, card.operating_points) == (
        ("mask_logits",),
        (),
        None,
        {},
    )
    assert "outlining lesions in single images" in card.intended_use
    assert not any("Probabilities" in limit for limit in card.limits)
    assert "Not given by this model: class probabilities, heatmaps." in render(card)

    exam = simulate(11, "malignant", 96).image.astype(np.float32) / np.float32(255)
    prediction = Analyzer(folder, threads=1).predict(exam)
    recipe, model = load_run(segmenter)
    image, frame = recipe.preprocess.apply(exam)
    with torch.inference_mode():
        wanted = frame.to_original(
            model(torch.from_numpy(image)[None, None]).mask_logits[0, 0].sigmoid().numpy()
        )
    assert prediction.lesion_map is not None
    np.testing.assert_allclose(prediction.lesion_map, wanted, atol=5e-3)
    assert prediction.probabilities is None

    picture = next(root.rglob("*.png"))
    with pytest.raises(SystemExit) as caught:
        main(["analyze", str(picture), "--out", str(tmp_path / "out"), "--bundle", str(folder)])
    assert not caught.value.code
    assert "Not given by this model: class probabilities, heatmaps." in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "findings.json").read_text())["items"][0]["probabilities"] is None


def test_a_system_that_onnx_cannot_hold_is_refused_with_its_reason(
    segmenter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = models.info("unet")
    facts = {**row.facts, "no_onnx": "its loop runs as often as the image asks"}
    changed = type(row)(**{**{name: getattr(row, name) for name in row.__dataclass_fields__}, "facts": facts})
    monkeypatch.setattr(models, "info", lambda name: changed)
    with pytest.raises(BundleError, match="its loop runs as often as the image asks"):
        export_run(segmenter, tmp_path / "bundle", progress=False)
    assert not (tmp_path / "bundle").exists()


def test_tables_cannot_calibrate_what_does_not_classify(segmenter: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not classify"):
        export_run(segmenter, tmp_path / "bundle", calibrate_on=[tmp_path / "x.parquet"], progress=False)


def test_a_run_whose_images_are_gone_is_told_so(make_run: Any, tmp_path: Path) -> None:
    folder = make_run("unet", options=models.info("unet").facts["tiny"])
    lines = (folder / runs.CASES).read_text().splitlines()
    (folder / runs.CASES).write_text("\n".join([lines[0], *(f"gone-{line}" for line in lines[1:])]))
    with pytest.raises(UsageError, match="is at hand"):
        export_run(folder, tmp_path / "bundle", progress=False)


class _Odd(System):
    """A convolution with a bias, whose norm is declared after it and used before it; and a fitted stage in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.register_buffer("splits", torch.tensor([[0.1, 1e6], [0.30000001, 2.0]]))

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        return Outputs(mask_logits=self.norm(self.conv(image)))


def test_rounding_leaves_norms_and_fitted_stages_alone(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    system = _Odd().eval()
    with torch.no_grad():
        system.norm.weight.fill_(-2)
        system.norm.running_mean.fill_(0.5)
    before = {key: value.clone() for key, value in system.state_dict().items()}
    round_weights(system, fold_norms=False)
    save_weights(system, tmp_path / "w.safetensors")
    saved = load_file(tmp_path / "w.safetensors")
    for key in ("norm.weight", "norm.running_mean", "splits", "conv.bias"):
        assert saved[key].dtype == torch.float32
        assert (saved[key] == before[key]).all()
    assert saved["conv.weight"].dtype == torch.float16
    assert (saved["conv.weight"] == before["conv.weight"].half()).all()


class _Counting(_Odd):
    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        return Outputs(boxes=image.new_full((len(image), 4), 0.25))


def test_a_network_that_counts_its_images_is_refused(tmp_path: Path) -> None:
    """``len`` of a batch fixes its size, and a bundle is asked for one image at a time."""
    with pytest.raises(BundleError, match="2 images at a time"):
        export_onnx(_Counting(), Preprocess(size=32), tmp_path / "model.onnx")


def test_calibration_sees_the_images_alone(classifier: Path) -> None:
    """Logits of a run's validation cases are what the bundle would give: no mask is handed to the network."""
    recipe, model = load_run(classifier)
    parts = collect(recipe)
    (found,) = predict(model, recipe.preprocess, parts.valid[:1])
    image, _ = recipe.preprocess.apply(found.sample.image)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(image)[None, None]).class_logits[0].numpy()
    np.testing.assert_allclose(found.logits, wanted, atol=1e-5)

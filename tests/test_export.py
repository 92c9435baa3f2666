"""From a short training to a bundle that the torch-free side loads and agrees with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import logit, softmax

from senoscope.data.phantoms import read, write_dataset
from senoscope.errors import BundleError, TableError, UsageError, WeightsError
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.runs import pool, predict_run
from senoscope.export import PARITY, check_parity, export_run
from senoscope.inference.analyzer import Analyzer
from senoscope.inference.bundle import load_bundle
from senoscope.inference.runtimes import OnnxNetwork
from senoscope.training import runs
from senoscope.training.loop import train
from senoscope.training.predict import load_run, predict
from senoscope.training.recipe import make_recipe, read_recipe


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, 72, seed=9, size=96)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    recipe = make_recipe(
        {"name": "tiny", "data": [{"name": "phantoms", "root": str(root)}], "valid_fraction": 0.3, "epochs": 1,
         "preprocess": {"size": 64}, "train_size": 64, "precision": "32-true", "threads": 1}
    )  # fmt: skip
    return train(recipe, tmp_path_factory.mktemp("runs") / "tiny", progress=False)


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return export_run(run, run.parent / "bundle", progress=False)


def test_the_bundle_is_whole_small_and_calibrated(bundle: Path, run: Path) -> None:
    loaded = load_bundle(bundle)  # checks every hash
    assert sum(file.stat().st_size for file in bundle.iterdir()) <= 12_000_000
    assert loaded.card.preprocess.size == 64
    assert loaded.card.calibration.n == json.loads((run / runs.MANIFEST).read_text())["cases"]["valid"]
    assert 0 <= loaded.card.operating_points["malignant"]["threshold_sens90"] <= 1
    assert loaded.card.data[0].name == "phantoms"
    assert loaded.card.scope is not None


def test_raw_file_to_probabilities_and_mask_torch_and_onnx_agree(bundle: Path, run: Path, root: Path) -> None:
    """The promise of one preprocessing: the same file through either runtime, with the weights that ship."""
    recipe, model = load_run(run)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in
                           load_file(bundle / "weights.safetensors").items()})  # fmt: skip
    network, card = OnnxNetwork(load_bundle(bundle), threads=1), load_bundle(bundle).card
    for record in read(root)[:4]:
        (prediction,) = predict(model, recipe.preprocess, [record])
        image, frame = card.preprocess.apply(prediction.sample.image)
        raw = network.run(image)
        np.testing.assert_allclose(softmax(raw.class_logits), softmax(prediction.logits), atol=PARITY)
        lesion_map = frame.to_original(1 / (1 + np.exp(-raw.mask_logits)))
        np.testing.assert_allclose(lesion_map, prediction.lesion_map, atol=PARITY)
        found = Analyzer(bundle, threads=1).predict(prediction.sample.image)
        calibrated = softmax(prediction.logits / card.calibration.temperature)
        np.testing.assert_allclose(found.probabilities, calibrated, atol=PARITY)


def test_a_second_look_is_the_same_in_a_run_and_in_its_bundle(run: Path, root: Path, tmp_path: Path) -> None:
    closer = tmp_path / "closer"
    shutil.copytree(run, closer)
    recipe = (run / runs.RECIPE).read_text()
    (closer / runs.RECIPE).write_text(recipe.replace("refine: false", "refine: true"))
    preprocess = read_recipe(closer / runs.RECIPE).preprocess
    (barely_trained,) = predict(load_run(run)[1], preprocess, read(root)[:1])
    state = load_file(closer / runs.WEIGHTS)
    state["mask.bias"] -= float(
        logit(np.quantile(barely_trained.lesion_map, 0.97))
    )  # so that it outlines a part
    save_file(state, closer / runs.WEIGHTS)
    bundle = export_run(closer, tmp_path / "bundle", progress=False)
    assert load_bundle(bundle).card.refine
    model = load_run(closer)[1]
    shipped = load_file(bundle / "weights.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in shipped.items()})
    changed = 0
    for record in read(root)[:12]:
        (once,) = predict(model, preprocess, [record])
        (twice,) = predict(model, preprocess, [record], refined=True)
        found = Analyzer(bundle, threads=1).predict(once.sample.image)
        np.testing.assert_allclose(found.lesion_map, twice.lesion_map, atol=PARITY)
        assert (twice.logits == once.logits).all()
        changed += int((twice.lesion_map != once.lesion_map).any())
    assert changed


def test_a_network_that_is_not_the_one_exported_is_noticed(bundle: Path, run: Path, root: Path) -> None:
    recipe, model = load_run(run)
    with torch.no_grad():
        model.evidence[2].bias[0] += 0.01  # type: ignore[index,union-attr]
    with pytest.raises(BundleError, match=r"differs by 0\.00"):
        check_parity(
            bundle / "model.onnx",
            model,
            recipe.preprocess,
            list(predict(model, recipe.preprocess, read(root)[:1])),
        )


def test_an_existing_folder_is_not_overwritten(bundle: Path, run: Path) -> None:
    before = (bundle / "card.json").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        export_run(run, bundle, progress=False)
    assert (bundle / "card.json").read_bytes() == before


def test_predictions_of_a_run_on_data_it_knows_only_in_part(run: Path, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_dataset(other, 6, seed=77, size=96)
    table = read_table(predict_run(run, data="phantoms", root=other, progress=False))
    assert int(table.test.sum()) == 6
    assert int((~table.test).sum()) == json.loads((run / runs.MANIFEST).read_text())["cases"]["valid"]
    assert table.dice[table.test & table.lesion].size == 4
    assert table.stamps == ()
    with pytest.raises(
        TableError, match="leaves no image"
    ):  # all it could test on was trained or validated on
        predict_run(run, data="phantoms", root=root, progress=False)


def test_the_same_case_cannot_be_tested_twice(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_dataset(other, 3, seed=78, size=96)
    table = read_table(predict_run(run, data="phantoms", root=other, progress=False))
    with pytest.raises(TableError, match="more than one"):
        pool([table, table])


def test_rows_54_to_56_weights_of_a_run_damaged_foreign_or_nan(run: Path, tmp_path: Path) -> None:
    import shutil

    def broken(change: object) -> Path:
        copy = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(run, copy)
        state = load_file(copy / runs.WEIGHTS)
        change(state)  # type: ignore[operator]
        save_file(state, copy / runs.WEIGHTS)
        return copy

    with pytest.raises(WeightsError, match="do not fit"):
        load_run(broken(lambda state: state.pop("focus")))
    with pytest.raises(WeightsError, match="NaN"):
        load_run(broken(lambda state: state["focus"].fill_(float("nan"))))
    cut = broken(lambda state: None)
    (cut / runs.WEIGHTS).write_bytes((cut / runs.WEIGHTS).read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_run(cut)
    (cut / runs.WEIGHTS).unlink()
    with pytest.raises(UsageError, match="not finished"):
        load_run(cut)

"""Any system on any data that has what it needs; what does not fit is refused before training starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from senoscope.data.phantoms import read
from senoscope.errors import ConfigError, DatasetError, UsageError, WeightsError
from senoscope.training.build import build_system, check_needs, recipe_for
from senoscope.training.loop import train
from senoscope.training.predict import load_run, predict
from senoscope.training.recipe import make_recipe, merged, parse_setting


def test_a_systems_recipe_is_its_papers_with_changes_on_top() -> None:
    recipe = recipe_for("resnet18", ["busi", "table=/data/mine"], epochs=3, augment={"blur": 0.0})
    assert (recipe.lr, recipe.optimizer, recipe.epochs, recipe.train_size) == (1e-4, "adam", 3, 224)
    assert recipe.name == "resnet18-busi-table"
    assert recipe.data[1].root == Path("/data/mine")
    assert (recipe.augment.blur, recipe.augment.flip) == (0.0, 0.5)
    assert recipe_for("resnet18", ["busi"], image_size=128).preprocess.size == 128


def test_settings_reach_nested_keys() -> None:
    assert parse_setting("augment.blur=0.1") == {"augment": {"blur": 0.1}}
    assert parse_setting("lr=1e-3") == {"lr": 1e-3}
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}}) == {"a": {"b": 9, "c": 2}, "d": 3}
    with pytest.raises(UsageError, match="sets nothing"):
        parse_setting("lr")


def test_a_wrong_name_lists_the_nearest() -> None:
    with pytest.raises(UsageError, match="resnet18"):
        recipe_for("resnet8", ["busi"])


def test_a_size_it_cannot_take_is_refused_with_those_it_can() -> None:
    with pytest.raises(UsageError, match=r"multiples of 32 .* --image-size 96 or 128"):
        recipe_for("resnet18", ["busi"], image_size=100)


def test_an_unknown_option_is_named(small: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="no option 'width'"):
        build_system(make_recipe({**small, "system": "unet", "options": {"width": 8}}))


def test_a_missing_mask_is_said_before_training(phantom_root: Path, small: dict[str, Any]) -> None:
    recipe = make_recipe({**small, "system": "unet"})
    bare = [replace(record, masks=None) for record in read(phantom_root)]
    with pytest.raises(DatasetError, match="unet needs masks, which phantoms does not have"):
        check_needs(recipe, bare)
    check_needs(recipe, read(phantom_root))


def test_labels_that_are_no_classes_are_named(phantom_root: Path, small: dict[str, Any]) -> None:
    flowers = [replace(record, label="daisy") for record in read(phantom_root)]
    with pytest.raises(DatasetError, match=r"labels of this data are daisy.*normal, benign, malignant"):
        check_needs(make_recipe({**small, "system": "resnet18"}), flowers)


def test_a_mask_is_only_given_to_a_system_that_takes_one(phantom_root: Path, small: dict[str, Any]) -> None:
    recipe = make_recipe({**small, "system": "unet", "mask_given": True})
    with pytest.raises(UsageError, match="does not take a mask"):
        check_needs(recipe, read(phantom_root))


def test_a_mask_that_is_given_is_not_refined(small: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"refine = True.*given the mask has nothing to refine"):
        make_recipe({**small, "mask_given": True, "refine": True})


def test_an_encoder_for_a_system_without_one_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="no pretrained encoder"):
        build_system(make_recipe({**small, "system": "unet", "pretrained": True}))


def test_a_system_for_one_size_needs_windows_of_that_size(small: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="built for one size"):
        build_system(make_recipe({**small, "system": "imagemasknet", "train_size": 32}))


def test_images_can_be_kept_larger_than_the_network_takes(tmp_path: Path, small: dict[str, Any]) -> None:
    narrow = {**small, "system": "unet", "options": {"widths": [4, 8, 16]}, "epochs": 1}
    side = make_recipe(narrow).preprocess.size
    plain, sharp = (
        load_run(train(make_recipe({**narrow, "source_size": kept}), tmp_path / str(kept), progress=False))
        for kept in (side, 2 * side)
    )
    assert sharp[0].preprocess == plain[0].preprocess
    pairs = zip(plain[1].state_dict().values(), sharp[1].state_dict().values(), strict=True)
    assert any(not torch.equal(*pair) for pair in pairs)


def test_a_fitted_last_stage_needs_images_as_the_network_takes_them(small: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no source_size"):
        build_system(make_recipe({**small, "system": "di-cnn-svm", "source_size": 512}))


def test_a_segmenter_trains_predicts_and_lends_its_weights_to_itself_only(
    tmp_path: Path, small: dict[str, Any], phantom_root: Path
) -> None:
    narrow = {**small, "system": "unet", "options": {"widths": [4, 8, 16]}, "epochs": 1}
    run = train(make_recipe(narrow), tmp_path / "unet", progress=False)
    recipe, model = load_run(run)
    found = next(predict(model, recipe.preprocess, read(phantom_root)))
    assert found.logits is None
    assert found.lesion_map is not None
    assert found.lesion_map.shape == found.sample.image.shape
    again = {**narrow, "init_weights": str(run / "weights.safetensors")}
    state = build_system(make_recipe(again)).state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    with pytest.raises(WeightsError, match="do not fit this network"):
        build_system(make_recipe({**again, "system": "resnet18", "options": {}}))


@pytest.mark.parametrize("key", [{"sampling": "over"}, {"sampling": "under"}])
def test_shares_do_not_go_with_sampling(
    phantom_root: Path, small: dict[str, Any], key: dict[str, Any]
) -> None:
    data = [{**small["data"][0], "share": 0.5}]
    with pytest.raises(ConfigError, match="beside over- or under-sampling"):
        check_needs(make_recipe({**small, **key, "data": data}), read(phantom_root))
    check_needs(make_recipe({**small, "data": data}), read(phantom_root))

"""A network taught by another beside the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import rel_entr, softmax

from senoscope.data.phantoms import read
from senoscope.data.splits import make_split, save_split
from senoscope.errors import ConfigError, LeakageError, UsageError
from senoscope.training import runs
from senoscope.training.distil import TEMPERATURE, distillation
from senoscope.training.loop import train
from senoscope.training.recipe import make_recipe

CNN = {"system": "cnn3", "options": {"widths": [4, 4, 4], "hidden": 8}}


@pytest.fixture(scope="module")
def classifier(small: dict[str, Any]) -> dict[str, Any]:
    return {**small, **CNN, "epochs": 2}


@pytest.fixture(scope="module")
def teacher(classifier: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(make_recipe(classifier), tmp_path_factory.mktemp("teacher") / "run", progress=False)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / runs.WEIGHTS)


def same(one: Path, other: Path) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_the_loss_by_its_definition() -> None:
    random = np.random.default_rng(0)
    pupil, teacher = random.normal(size=(2, 5, 3))
    shares = np.array([2.0, 0.5, 1.0])
    wanted = softmax((teacher + np.log(shares)) / TEMPERATURE, axis=1)
    expected = TEMPERATURE**2 * rel_entr(wanted, softmax(pupil / TEMPERATURE, axis=1)).sum(1).mean()
    found = distillation(*(torch.from_numpy(values).float() for values in (pupil, teacher, shares)))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_nothing_is_left_to_learn_from_a_teacher_that_one_is_level_with() -> None:
    teacher, shares = torch.randn(5, 3), torch.tensor([2.0, 0.5, 1.0])
    assert distillation(teacher + shares.log() + 3.0, teacher, shares).item() == pytest.approx(0, abs=1e-6)


def test_a_teacher_changes_what_is_learnt_by_its_weight(
    classifier: dict[str, Any], teacher: Path, tmp_path: Path
) -> None:
    taught = {**classifier, "seed": 1, "teacher": str(teacher)}
    alone = train(make_recipe({**classifier, "seed": 1}), tmp_path / "alone", progress=False)
    unheard = train(make_recipe({**taught, "teacher_weight": 0.0}), tmp_path / "unheard", progress=False)
    heard = train(make_recipe(taught), tmp_path / "heard", progress=False)
    assert same(unheard, alone)
    assert not same(heard, alone)


def test_an_interrupted_lesson_goes_on_bit_for_bit(
    classifier: dict[str, Any], teacher: Path, tmp_path: Path
) -> None:
    recipe = make_recipe({**classifier, "seed": 1, "teacher": str(teacher)})

    def stop(row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", progress=False, on_epoch=stop)
    cut = train(recipe, tmp_path / "cut", resume=True, progress=False)
    assert same(cut, train(recipe, tmp_path / "whole", progress=False))


def test_a_teacher_that_saw_what_is_held_out_is_refused(
    classifier: dict[str, Any], teacher: Path, phantom_root: Path, tmp_path: Path
) -> None:
    split = tmp_path / "thirds.csv"
    save_split(make_split(read(phantom_root), 3, 0, name="thirds"), split)
    source = {**classifier["data"][0], "split": str(split), "fold": 1}
    recipe = make_recipe({**classifier, "data": [source], "teacher": str(teacher)})
    with pytest.raises(LeakageError, match="held-out images"):
        train(recipe, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_who_cannot_teach_is_told_why(
    classifier: dict[str, Any], small: dict[str, Any], teacher: Path, tmp_path: Path
) -> None:
    def refused(error: type[Exception], match: str, **changes: Any) -> None:
        with pytest.raises(error, match=match):
            train(
                make_recipe({**classifier, "teacher": str(teacher), **changes}),
                tmp_path / "run",
                progress=False,
            )
        assert not (tmp_path / "run").exists()

    refused(UsageError, "is not a run", teacher=str(tmp_path / "nobody"))
    refused(ConfigError, "with another preprocess", preprocess={"size": 64, "median": 0.4})
    refused(ConfigError, "cannot look at windows of 96 px", preprocess={"size": 96}, train_size=96)
    narrow = {"system": "unet", "options": {"widths": [4, 8, 16]}}
    refused(ConfigError, "unet does not classify", **narrow)
    outlining = train(make_recipe({**small, **narrow, "epochs": 1}), tmp_path / "unet", progress=False)
    refused(ConfigError, "unet does not classify", teacher=str(outlining))

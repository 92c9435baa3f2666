from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from senoscope import data as datasets
from senoscope._files import find_data
from senoscope.errors import LeakageError
from senoscope.imaging.preprocess import Preprocess
from senoscope.schema import CLASSES
from senoscope.training.data import UNKNOWN, collect, prepare
from senoscope.training.recipe import make_recipe

needs_data = pytest.mark.skipif(find_data() is None, reason="no shared data folder (SENOSCOPE_DATA)")


def test_arrays_hold_what_the_records_say(phantom_root: Path) -> None:
    from senoscope.data.phantoms import read

    records = read(phantom_root)[:6]
    arrays = prepare(records, Preprocess(size=64), phantoms=3, seed=2)
    assert arrays.images.shape == (9, 64, 64)
    assert [CLASSES[i] for i in arrays.labels[:6]] == [r.label for r in records]
    assert arrays.has_mask.all()
    lesion = arrays.labels != CLASSES.index("normal")
    assert (arrays.masks.any((1, 2)) == lesion).all()
    again = prepare(records, Preprocess(size=64), phantoms=3, seed=2)
    assert np.array_equal(arrays.images, again.images)


def test_missing_masks_and_labels_stay_missing(phantom_root: Path) -> None:
    from dataclasses import replace

    from senoscope.data.phantoms import read

    record = replace(read(phantom_root)[1], masks=None, label=None)
    arrays = prepare([record], Preprocess(size=64))
    assert not arrays.has_mask[0]
    assert arrays.labels[0] == UNKNOWN


@needs_data
@pytest.mark.parametrize("fold", [1, 5])
def test_no_patient_or_duplicate_crosses_a_fold(fold: int) -> None:
    recipe = make_recipe({"name": "r", "data": [{"name": "busi", "fold": fold}]})
    parts = collect(recipe)
    sides = [parts.train, parts.valid, parts.test]
    assert len(parts.train) > 3 * len(parts.test)
    for attribute in ("id", "group", "patient"):
        held = [{getattr(r, attribute) for r in side} - {None} for side in sides]
        assert not held[0] & held[1]
        assert not held[0] & held[2]
        assert not held[1] & held[2]
    for side in sides:
        assert {r.label for r in side} == set(CLASSES)


@needs_data
def test_a_leaking_split_is_refused_or_stamped(tmp_path: Path) -> None:
    from senoscope import data
    from senoscope.data.splits import make_split, save_split

    records = data.load("busi")
    path = tmp_path / "leaky.csv"
    save_split(make_split(records, 5, 0, by=()), path)
    content: dict[str, Any] = {"name": "r", "data": [{"name": "busi", "split": str(path), "fold": 1}]}
    with pytest.raises(LeakageError):
        collect(make_recipe(content))
    stamps = collect(make_recipe(content), allow_leaks=True).stamps
    assert stamps
    assert "LEAK" in stamps[0]


def test_a_share_of_a_dataset_is_drawn_anew_each_epoch() -> None:
    import numpy as np

    from senoscope.training.batches import Batches
    from senoscope.training.data import Arrays
    from senoscope.training.recipe import make_recipe

    recipe = make_recipe(
        {
            "name": "r",
            "data": [{"name": "busi"}, {"name": "bus-bra", "share": 0.25}],
            "batch": 4,
            "train_size": 32,
        }
    )
    source = np.repeat([0, 1, 2], [10, 40, 6])
    blank = np.zeros((56, 32, 32))
    arrays = Arrays(blank.astype(np.uint8), blank > 0, blank[:, 0, 0] > 0, np.zeros(56, np.int64), source)
    batches = Batches(recipe, arrays)
    first, second = (batches._order(epoch) for epoch in (0, 1))
    assert np.bincount(source[first]).tolist() == np.bincount(source[second]).tolist() == [10, 10, 6]
    assert set(first) != set(second)
    assert batches.steps == 7


def test_batches_made_ahead_are_the_same() -> None:
    import torch

    from senoscope.training.batches import Batches
    from senoscope.training.data import prepare
    from senoscope.training.recipe import make_recipe

    data = [{"name": "busi"}]
    recipe = make_recipe(
        {"name": "r", "data": data, "batch": 3, "train_size": 32, "preprocess": {"size": 64}}
    )
    arrays = prepare([], recipe.preprocess, phantoms=7)
    one, other = (list(Batches(recipe, arrays, ahead=ahead).epoch(0)) for ahead in (False, True))
    assert len(one) == len(other) == 2  # a last batch of one image is left out
    for ours, theirs in zip(one, other, strict=True):
        assert all(map(torch.equal, ours, theirs))


def test_probabilities_can_be_for_one_datasets_class_shares() -> None:
    import numpy as np
    import torch

    from senoscope.training.data import Arrays
    from senoscope.training.loop import wanted_shares
    from senoscope.training.recipe import make_recipe

    recipe = make_recipe(
        {"name": "r", "data": [{"name": "busi"}, {"name": "bus-bra", "share": 0.5}], "shares_of": "busi"}
    )
    labels = np.array([0, 1, 1, 2, *[1] * 4, *[2] * 4])  # 1 : 2 : 1 there, 0 : 4 : 4 here, of which half
    source = np.array([0] * 4 + [1] * 8)
    blank = np.zeros((12, 4, 4))
    arrays = Arrays(blank.astype(np.uint8), blank > 0, blank[:, 0, 0] > 0, labels, source)
    found = wanted_shares(recipe, arrays)  # drawn: 1 : 4 : 3 of 8
    torch.testing.assert_close(found, torch.tensor([0.25 / 0.125, 0.5 / 0.5, 0.25 / 0.375]))


@pytest.mark.parametrize(("judge", "valid"), [("validation", True), ("test", False), ("training", False)])
def test_who_chooses_the_epoch(tmp_path: Path, judge: str, valid: bool) -> None:
    from senoscope.data.phantoms import write_dataset
    from senoscope.data.splits import make_split, save_split

    write_dataset(tmp_path / "phantoms", 20, seed=2, size=64)
    records = datasets.load("phantoms", tmp_path / "phantoms")
    save_split(make_split(records, 4), tmp_path / "split.csv")
    source = {
        "name": "phantoms",
        "root": str(tmp_path / "phantoms"),
        "split": str(tmp_path / "split.csv"),
        "fold": 2,
    }
    parts = collect(make_recipe({"name": "judged", "data": [source], "judge": judge}))
    ids = {side: {r.id for r in getattr(parts, side)} for side in ("train", "valid", "test", "judge")}
    assert ids["judge"] == ids["valid" if valid else judge.replace("training", "train")]
    assert bool(ids["valid"]) == valid
    assert len(ids["train"] | ids["valid"] | ids["test"]) == 20
    assert not ids["train"] & ids["test"]
    assert bool(parts.stamps) != valid  # whatever else than validation images chooses is said in every report

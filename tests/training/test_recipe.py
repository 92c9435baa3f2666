from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from senoscope.errors import ConfigError, UsageError
from senoscope.imaging import Preprocess
from senoscope.training.recipe import (
    Augment,
    DataSource,
    Recipe,
    find_recipe,
    hold_out,
    make_recipe,
    read_recipe,
    shipped,
    write_recipe,
)

MINIMAL = "name: mine\ndata: [{name: busi}]\n"


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_reads_back_as_it_was_written(tmp_path: Path) -> None:
    recipe = read_recipe(_write(tmp_path, MINIMAL + "lr: 1e-3\naugment: {zoom: [0.5, 2]}\n"))
    assert recipe.lr == 0.001  # unquoted 1e-3 is a number, although YAML 1.1 takes it for text
    assert recipe.augment.zoom == (0.5, 2.0)
    write_recipe(recipe, tmp_path / "again.yaml")
    assert read_recipe(tmp_path / "again.yaml") == recipe


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("epoch: 3", ("'epoch'", "'epochs'")),
        ("augment: {gama: 1}", ("'augment.gama'", "'gamma'")),
        ("lr: -1", ("lr = -1", "greater than 0")),
        ('lr: "1e-3"', ("lr = '1e-3'", "valid number")),
        ("lr: .nan", ("lr",)),
        ("precision: fp8", ("precision", "bf16-mixed")),
        ("train_size: 100", ("train_size", "multiple of 32")),
    ],
)
def test_row_49_a_faulty_key_is_named(tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        read_recipe(_write(tmp_path, MINIMAL + line + "\n"))
    for word in words:
        assert word in str(error.value)


def test_every_faulty_key_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lr.*batch|batch.*lr"):
        read_recipe(_write(tmp_path, MINIMAL + "lr: 5\nbatch: 0\n"))


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.system ['echo harm']\n",
        "a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "- just\n- a list\n",
        "name: [unclosed\n",
        "\x00\x01",
    ],
)
def test_row_50_code_alias_bombs_and_other_things_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read_recipe(_write(tmp_path, text))


def test_row_51_a_recipe_cannot_write_outside_its_run() -> None:
    """No key names an output; the name, which becomes the folder, is not a path."""
    with pytest.raises(ConfigError, match="name"):
        make_recipe({"name": "../../elsewhere", "data": [{"name": "busi"}]})
    with pytest.raises(ConfigError, match="unknown key 'out'"):
        make_recipe({"name": "mine", "data": [{"name": "busi"}], "out": "elsewhere"})


def test_a_dataset_named_twice_is_refused() -> None:
    """Two folders of one's own would be told apart by nothing."""
    twice = [{"name": "folder", "root": "here"}, {"name": "folder", "root": "there"}]
    with pytest.raises(ConfigError, match=r"folder stands there twice.*one table"):
        make_recipe({"name": "mine", "data": twice})


def test_shipped_recipes_are_valid_and_found_by_name() -> None:
    for name, path in shipped().items():
        assert read_recipe(path).name == name
        assert find_recipe(name) == path
    with pytest.raises(UsageError, match="senoscope-us"):
        find_recipe("senoscope-su")


def test_a_fold_is_held_out_where_the_split_has_it() -> None:
    recipe = read_recipe(shipped()["senoscope-us"])
    assert [source.fold for source in hold_out(recipe, 1).data] == [1, 1]
    assert [source.fold for source in hold_out(recipe, 5).data] == [
        5,
        None,
    ]  # folds 1-4 of BUS-BRA are at hand
    with pytest.raises(UsageError, match="no dataset of the recipe has a fold 9"):
        hold_out(recipe, 9)


@pytest.mark.parametrize("part", [Recipe, DataSource, Augment, Preprocess])
def test_every_key_says_what_it_does(part: type[BaseModel]) -> None:
    assert [name for name, field in part.model_fields.items() if not field.description] == []

"""A recipe: a YAML file that fully says one training, checked key by key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from senoscope import data as datasets
from senoscope._files import write_text
from senoscope._yaml import read_mapping, read_value
from senoscope.catalog import nearest
from senoscope.data.splits import load_split
from senoscope.errors import ConfigError, UsageError
from senoscope.imaging.preprocess import Preprocess


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class DataSource(_Part):
    """One dataset of a training: which, where, and the split that says who is in which fold.

    ``fold`` is the fold held out for testing; ``None`` holds nothing out. Without ``split`` the dataset's frozen one is
    used; images that it dropped are left out.
    """

    name: str = Field(description="a dataset's name, see 'senoscope datasets list'")
    root: Path | None = Field(default=None, description="its folder; searched for if not given")
    split: str | None = Field(
        default=None,
        description="a frozen split's name or a split's CSV file; the dataset's own if not given",
    )
    fold: int | None = Field(
        default=None, ge=0, description="the fold held out for testing; none if not given"
    )
    share: float = Field(
        default=1.0, gt=0, le=1, description="share of its training images drawn, anew, for each epoch"
    )


class Augment(_Part):
    """Random changes of the training images, all probabilities in 0..1."""

    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a mirror image")
    rotate_degrees: float = Field(default=12.0, ge=0, le=180, description="largest turn, either way")
    zoom: tuple[float, float] = Field(default=(0.65, 1.3), description="smallest and largest magnification")
    border: Literal["black", "reflect"] = Field(
        default="black",
        description="what lies beyond the image where a window is larger: nothing, or the image and lesions mirrored",
    )
    aspect: float = Field(default=0.3, ge=0, lt=1, description="largest stretch of one side, as exp(±aspect)")
    gamma: float = Field(default=0.3, ge=0, description="standard deviation of the logarithm of the gamma")
    contrast: float = Field(
        default=0.25, ge=0, lt=1, description="largest change of contrast, as exp(±contrast)"
    )
    brightness: float = Field(default=0.1, ge=0, lt=1, description="largest shift of grey, of white")
    gain: float = Field(default=0.35, ge=0, lt=1, description="largest change of gain from top to bottom")
    speckle: float = Field(
        default=0.4, ge=0, le=1, description="probability of multiplicative noise with grains"
    )
    blur: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="probability of lost resolution or of over-sharpening, half of each",
    )
    shadow: float = Field(
        default=0.0, ge=0, le=1, description="dark bands below a random depth, as bad contact casts"
    )
    overlay: float = Field(default=0.4, ge=0, le=1, description="burnt-in text and calipers")


class Recipe(_Part):
    """Everything that decides a training. Sizes in pixels, rates per step, lengths in epochs."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="names the run's default folder")
    system: str = Field(default="senoscope-us", description="see 'senoscope models list'")
    data: tuple[DataSource, ...] = Field(min_length=1, description="the datasets to train on, see below")
    phantoms: int = Field(default=0, ge=0, le=100_000, description="simulated images mixed into training")
    valid_fraction: float = Field(
        default=0.12,
        gt=0,
        lt=0.5,
        description="share of what is not tested that is held out to choose epoch, temperature and thresholds",
    )
    preprocess: Preprocess = Field(
        default=Preprocess(), description="how an image becomes the network's input, see below"
    )
    train_size: int = Field(
        default=192,
        ge=32,
        le=2048,
        multiple_of=32,
        description="side of the windows cut from prepared images to train on, in pixels",
    )
    source_size: int | None = Field(
        default=None,
        ge=32,
        le=4096,
        description="side at which training images are kept, in pixels: larger than preprocess.size, windows that "
        "magnify stay sharp; by default preprocess.size",
    )
    augment: Augment = Field(
        default=Augment(), description="random changes of the training images, see below"
    )
    epochs: int = Field(default=20, ge=1, le=10_000, description="longest training")
    batch: int = Field(default=16, ge=1, le=4096, description="images per step and process")
    lr: float = Field(default=1e-3, gt=0, le=1, description="highest learning rate")
    encoder_lr_factor: float = Field(
        default=0.4, gt=0, le=1, description="the encoder's rate, as a part of that"
    )
    weight_decay: float = Field(
        default=0.02, ge=0, le=1, description="of weights; norms and biases have none"
    )
    warmup_epochs: float = Field(default=1.0, ge=0, description="epochs over which the rate rises from 0")
    ema: float = Field(
        default=0.995,
        ge=0,
        lt=1,
        description="share that the averaged weights keep of themselves in a step; 0 keeps the last weights",
    )
    clip: float = Field(
        default=5.0,
        gt=0,
        description="longest gradient, all weights together; a longer one is shortened to it",
    )
    label_smoothing: float = Field(
        default=0.05, ge=0, lt=1, description="share of each label that is spread over all classes"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="options of the system's constructor")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        default="adamw", description="SGD has Nesterov's momentum 0.9"
    )
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="of the rate after the warm-up; cosine falls to 0"
    )
    class_loss: Literal["cross-entropy", "focal"] = Field(
        default="cross-entropy", description="loss of the class scores"
    )
    mask_loss: Literal["dice-bce", "dice", "bce", "focal", "tversky", "boundary"] = Field(
        default="dice-bce", description="loss of the lesion map"
    )
    box_loss: Literal["smooth-l1", "giou"] = Field(default="giou", description="loss of the box")
    mask_weight: float = Field(default=1.0, ge=0, description="weight of the lesion map's loss")
    class_weight: float = Field(default=1.0, ge=0, description="weight of the class scores' loss")
    box_weight: float = Field(default=1.0, ge=0, description="weight of the box's loss")
    auxiliary_weight: float = Field(
        default=1.0,
        ge=0,
        description="weight of the mean loss of auxiliary outputs (deep supervision, members)",
    )
    balancing: Literal["fixed", "uncertainty", "gradnorm", "adaptive"] = Field(
        default="fixed", description="how the tasks' losses are weighed against each other"
    )
    sampling: Literal["natural", "over", "under"] = Field(
        default="natural",
        description="rare classes drawn more often, or common ones less, or neither; the probabilities are then for "
        "what is drawn",
    )
    mask_given: bool = Field(
        default=False,
        description="give the lesion's true mask to the network at validation and test too, as a few papers do; "
        "stamps every report",
    )
    balance: float = Field(default=0.5, ge=0, le=1, description="power of the inverse class frequency")
    shares_of: str | None = Field(
        default=None,
        description="the dataset whose class shares the kept network's probabilities are for; all training images "
        "if not given",
    )
    patience: int = Field(
        default=10, ge=1, description="epochs without a better validation score before stopping"
    )
    judge: Literal["validation", "test", "training"] = Field(
        default="validation",
        description="whose images choose the epoch: a grouped share of the training part, held out for that; the test "
        "images, as where a paper reports its best test epoch; or the training images, nothing being held out. The "
        "last two stamp every report",
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="which epoch's averaged weights to keep: the best on validation, or the last, which a small "
        "validation part cannot choose by luck (no early stop then)",
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        default="bf16-mixed", description="of a training step's arithmetic"
    )
    devices: int = Field(default=1, ge=1, description="processes, one for each device")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; all cores if not given")
    seed: int = Field(
        default=0, ge=0, description="of validation part, order, augmentation and untrained weights"
    )
    encoder_weights: Path | None = Field(
        default=None, description="safetensors file of a pretrained encoder, with timm's names"
    )
    init_weights: Path | None = Field(
        default=None, description="weights.safetensors of a run or bundle of the same system to start from"
    )
    mirror: bool = Field(
        default=True,
        description="the trained network answers with the mean over an image and its mirror image",
    )
    refine: bool = Field(
        default=False,
        description="the trained network looks again, closer, at a window around what it outlined",
    )
    pretrained: bool = Field(default=False, description="fetch the encoder from timm's hub")

    @field_validator("data")
    @classmethod
    def _each_once(cls, data: tuple[DataSource, ...]) -> tuple[DataSource, ...]:
        names = [source.name for source in data]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"{', '.join(twice)} stands there twice, and its images could not be told apart: "
                "name them all in one table (dataset 'table')"
            )
        return data

    @field_validator("refine")
    @classmethod
    def _looks_for_itself(cls, refine: bool, info: ValidationInfo) -> bool:
        if refine and info.data.get("mask_given"):
            raise ValueError(
                "a network that is given the mask has nothing to refine: leave out one of the two"
            )
        return refine


def read_recipe(path: Path, **overrides: Any) -> Recipe:
    """Read and check a recipe; keyword arguments replace its top-level keys.

    Raises
    ------
    ConfigError: not YAML, tags or aliases in it, an unknown key (the nearest right one is named), a value of the
        wrong type or out of range.
    """
    content = read_mapping(path, "recipe", "see 'senoscope train --list'")
    return make_recipe(merged(content, overrides), source=str(path))


def make_recipe(content: dict[str, Any], source: str = "recipe") -> Recipe:
    """Check a recipe given as a dictionary. Raises ``ConfigError`` naming every faulty key."""
    try:
        return Recipe.model_validate_json(
            json.dumps(content, default=str)
        )  # JSON: lists are tuples, text is paths
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(problems), fix="correct the named keys") from error


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as YAML that :func:`read_recipe` reads back unchanged."""
    write_text(path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _describe(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{place} = {problem['input']!r}: {problem['msg']}"
    close = nearest(str(problem["loc"][-1]), _keys(problem["loc"]))
    return f"unknown key '{place}'" + (f" (did you mean '{close[0]}'?)" if close else "")


def _keys(place: tuple[int | str, ...]) -> list[str]:
    parts: dict[str, type[BaseModel]] = {"data": DataSource, "augment": Augment, "preprocess": Preprocess}
    return list(parts.get(str(place[0]), Recipe).model_fields if len(place) > 1 else Recipe.model_fields)


def shipped() -> dict[str, Path]:
    """Recipes that come with Senoscope, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


def find_recipe(name_or_path: str) -> Path:
    """A recipe's file: a path, or the name of a shipped one. Raises ``UsageError`` with the nearest name."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    recipes = shipped()
    if name_or_path in recipes:
        return recipes[name_or_path]
    close = nearest(name_or_path, recipes)
    raise UsageError(
        f"there is no recipe '{name_or_path}'",
        expected="a YAML file or one of " + ", ".join(recipes),
        fix=f"perhaps you mean '{close[0]}'" if close else "",
    )


def parse_setting(text: str) -> dict[str, Any]:
    """``key=value`` as a recipe's keys, the value read as YAML, dotted keys as keys within keys.

    Raises ``UsageError`` for text without an equals sign or with a value that is not YAML.
    """
    key, mark, value = text.partition("=")
    try:
        content: Any = read_value(value)
    except yaml.YAMLError:
        mark = ""
    if not mark or not key:
        raise UsageError(f"'{text}' sets nothing", expected="KEY=VALUE, such as lr=1e-3 or augment.blur=0")
    for part in reversed(key.split(".")):
        content = {part: content}
    return dict(content)


def merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``content`` with ``changes`` put in, mapping by mapping."""
    both = {
        key: merged(content[key], value)
        if isinstance(content.get(key), dict) and isinstance(value, dict)
        else value
        for key, value in changes.items()
    }
    return {**content, **both}


def hold_out(recipe: Recipe, fold: int) -> Recipe:
    """The recipe with ``fold`` held out of every dataset whose split has it.

    A dataset without that fold (BUS-BRA as far as only some of its folds lie at hand) is trained on whole. Raises
    ``UsageError`` if no dataset has it.
    """
    held = [fold in _folds(source) for source in recipe.data]
    if not any(held):
        raise UsageError(
            f"no dataset of the recipe has a fold {fold}",
            expected="; ".join(f"{s.name}: {_folds(s) or 'no split'}" for s in recipe.data),
        )
    pairs = zip(recipe.data, held, strict=True)
    sources = tuple(s.model_copy(update={"fold": fold if has else None}) for s, has in pairs)
    return recipe.model_copy(update={"data": sources})


def _folds(source: DataSource) -> tuple[int, ...]:
    name = source.split or datasets.info(source.name).text("split")
    return load_split(name).folds if name else ()

"""From a recipe to its network, and from a system's name to the recipe of its paper."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from senoscope import models
from senoscope.errors import ConfigError, DatasetError, UsageError, WeightsError
from senoscope.models.interface import FittedSystem, System
from senoscope.schema import CLASSES, Record
from senoscope.training.checkpoint import load_weights, read_tensors
from senoscope.training.recipe import Recipe, make_recipe, merged

_DEFAULTS: dict[str, Any] = {"encoder_lr_factor": 1.0, "batch": 16, "epochs": 30, "weight_decay": 1e-4}
"""What a system's training takes where its row does not say: one rate for all, since encoders may be
untrained, and little weight decay, since Adam makes it an L2 penalty."""


def build_system(recipe: Recipe, *, trained: bool = False) -> System:
    """A recipe's network: freshly started, or (``trained``) the empty form that a run's weights are loaded into.

    Raises ``UsageError`` for options or sizes the system does not take, ``WeightsError`` for weights of another.
    """
    row = models.info(recipe.system)
    accepted = inspect.signature(row.resolve()).parameters
    if "image_size" in accepted and recipe.train_size != recipe.preprocess.size:
        raise ConfigError(
            f"train_size {recipe.train_size} with images of {recipe.preprocess.size}: {row.name} is built for one size",
            expected="train_size equal to preprocess.size",
        )
    if recipe.source_size not in (None, recipe.preprocess.size) and issubclass(row.resolve(), FittedSystem):
        raise ConfigError(
            f"source_size {recipe.source_size} with images of {recipe.preprocess.size}",
            expected=f"no source_size: the last stage of {row.name} is fitted to whole images",
        )
    models.check_image_size(row, recipe.train_size)
    options = dict(recipe.options)
    if trained and "mirror" in accepted:
        options["mirror"] = recipe.mirror
    if not trained:
        options |= _pretraining(recipe, accepted)
    system = models.create_model(
        recipe.system, classes=len(CLASSES), image_size=recipe.preprocess.size, **options
    )
    if recipe.init_weights and not trained:
        state, _ = read_tensors(recipe.init_weights)
        floats = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}  # bundles: 16 bits
        load_weights(system, floats, recipe.init_weights)
        if isinstance(system, FittedSystem):
            system.fitted.fill_(False)  # the old last stage does not fit the features to come
    return system


def _pretraining(recipe: Recipe, accepted: Iterable[str]) -> dict[str, Any]:
    given = {"encoder_weights": recipe.encoder_weights, "pretrained": recipe.pretrained}
    options = {key: value for key, value in given.items() if value}
    if options and "encoder_weights" not in accepted:
        raise WeightsError(
            f"{recipe.system} has no pretrained encoder",
            expected="neither encoder weights nor --pretrained",
            fix="leave them out, or use --init-weights with a run of this system",
        )
    return options


def recipe_for(system: str, data: Sequence[str], **overrides: Any) -> Recipe:
    """The recipe of a system's paper, as far as it is known, on datasets named here (``NAME`` or ``NAME=FOLDER``).

    ``overrides`` replace keys of the recipe. Images have the system's native size unless ``image_size`` is among them.
    Raises ``UsageError`` for a wrong name or size, ``ConfigError`` for wrong keys.
    """
    row = models.info(system)
    size = overrides.pop("image_size", None) or int(row.facts["native_size"])
    models.check_image_size(row, size)
    sources = [dict(zip(("name", "root"), name.split("=", 1), strict=False)) for name in data]
    content = {
        **_DEFAULTS,
        "name": "-".join([system, *(source["name"] for source in sources)]),
        "system": system,
        "data": sources,
        "preprocess": {"size": size},
        "train_size": size,
        **row.facts.get("recipe", {}),
    }
    return make_recipe(merged(content, overrides), source=f"the recipe of {system}")


def check_needs(recipe: Recipe, records: Sequence[Record]) -> None:
    """Raise before training starts if the data has nothing of what the system learns from.

    ``DatasetError`` names what is needed and what the data has; ``UsageError`` if no such mask may be given;
    ``ConfigError`` for keys of the recipe that contradict each other.
    """
    names = [source.name for source in recipe.data]
    shared = any(source.share < 1 for source in recipe.data)
    if (shared or recipe.shares_of) and (recipe.sampling != "natural" or len(set(names)) < len(names)):
        raise ConfigError(
            "share and shares_of beside over- or under-sampling, or with a dataset named twice",
            expected="sampling: natural, and each dataset once",
            fix="choose one of them",
        )
    row = models.info(recipe.system)
    has = {
        "mask": any(record.masks is not None for record in records),
        "label": any(record.label in CLASSES for record in records),
    }
    other = sorted({record.label for record in records if record.label} - set(CLASSES))
    if "label" in row.facts["needs"] and not has["label"] and other:
        raise DatasetError(
            f"the labels of this data are {', '.join(other[:5])}",
            expected=", ".join(CLASSES),
            fix="give the table's label column these words",
        )
    lacking = [need for need in row.facts["needs"] if not has.get(need, True)]
    if lacking:
        raise DatasetError(
            f"{recipe.system} needs {' and '.join(f'{need}s' for need in lacking)}, which {', '.join(names)} does not "
            "have",
            expected=f"data with {', '.join(row.facts['needs'])}",
            fix="choose other data, or a system that needs less: senoscope models list",
        )
    if recipe.mask_given and not row.resolve().uses_mask:
        raise UsageError(
            f"{recipe.system} does not take a mask",
            expected="mask_given only for a system that reads the lesion's mask",
            fix="leave mask_given out",
        )

"""What is searched: recipe keys with their ranges or choices, read from text and checked before it starts."""

from __future__ import annotations

import inspect
import math
from typing import Any, get_args

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel

from senoscope import models
from senoscope.catalog import nearest
from senoscope.errors import UsageError
from senoscope.training.recipe import Recipe, make_recipe, merged, parse_setting

_FORMS = "KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=ONE,OTHER,…, such as lr=1e-5..1e-2:log or batch=8,16,32"
_FIXED = {
    "name": "it is only a name",
    "data": "scores on other data cannot be compared",
    "seed": "it chooses the validation images, and scores on other images cannot be compared",
    "valid_fraction": "it chooses the validation images, and scores on other images cannot be compared",
}


def parse_space(texts: list[str], recipe: Recipe) -> dict[str, BaseDistribution]:
    """The search space of ``KEY=LOW..HIGH[:log]`` and ``KEY=A,B,…`` for a recipe.

    Dotted keys reach into ``augment``, ``preprocess`` and the system's ``options``. A range is of whole numbers if the
    key is (an option: if both ends are). Every end and every choice must make a valid recipe. Raises ``UsageError``
    or ``ConfigError`` naming the nearest right key, the range that is none, or the value that is refused.
    """
    if not texts:
        raise UsageError("nothing to search is named", expected=f"--search {_FORMS}")
    space: dict[str, BaseDistribution] = {}
    for text in texts:
        key, mark, values = (part.strip() for part in text.partition("="))
        if not (key and mark and values):
            raise UsageError(f"'{text}' is no search", expected=_FORMS)
        if key in space:
            raise UsageError(f"'{key}' is searched twice", expected="each key once")
        _check_key(key, recipe)
        space[key] = (
            _range(key, values, text) if ".." in values and "," not in values else _choices(key, values, text)
        )
        for value in _probes(space[key]):
            with_values(recipe, {key: value})
    return space


def with_values(recipe: Recipe, params: dict[str, Any]) -> Recipe:
    """The recipe with some keys' values replaced; dotted keys reach into its parts. Raises ``ConfigError``."""
    content = recipe.model_dump(mode="json")
    for key, value in params.items():
        change: Any = value
        for part in reversed(key.split(".")):
            change = {part: change}
        content = merged(content, change)
    return make_recipe(content, source="the search")


def _check_key(key: str, recipe: Recipe) -> None:
    first, _, rest = key.partition(".")
    if first in _FIXED:
        raise UsageError(
            f"'{first}' cannot be searched: {_FIXED[first]}", expected="another key of the recipe"
        )
    if first == "options" and rest:
        parameters = inspect.signature(models.info(recipe.system).resolve()).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return
        known = [
            parameter.name for parameter in parameters if parameter.name not in ("classes", "image_size")
        ]
        kind = f"option of {recipe.system}"
    else:
        rest, known, kind = key, _known_keys(), "key of a recipe"
    if rest not in known:
        close = nearest(rest, known)
        raise UsageError(
            f"'{rest}' is no {kind}",
            expected=", ".join(known) if len(known) < 12 else "see docs/reference/recipe.md",
            fix=f"did you mean '{close[0]}'?" if close else "",
        )


def _known_keys() -> list[str]:
    names = []
    for name, field in Recipe.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            names += [f"{name}.{inner}" for inner in part.model_fields]
        elif name not in (*_FIXED, "options"):
            names.append(name)
    return names


def _type_of(key: str) -> Any:
    """The annotation of a key; ``Any`` for a system's option."""
    kind: Any = Recipe
    for part in key.split("."):
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return Any
        kind = kind.model_fields[part].annotation
    return kind


def _range(key: str, values: str, text: str) -> BaseDistribution:
    numbers, _, scale = values.partition(":")
    ends = [_value(end) for end in numbers.split("..")]
    if scale not in ("", "log") or len(ends) != 2 or not all(_is_number(end) for end in ends):
        raise UsageError(f"'{text}' is no range", expected=_FORMS)
    low, high = ends
    if low >= high or (scale and low <= 0):
        wanted = "a lower end above 0 for a logarithmic range" if low < high else "the lower end first"
        raise UsageError(f"'{text}' is no range: it goes from {low} to {high}", expected=wanted)
    kind = _type_of(key)
    whole = kind is int or int in get_args(kind)
    real = kind is float or float in get_args(kind)
    if not (whole or real or kind is Any):
        raise UsageError(
            f"'{key}' takes no range",
            expected="choices: " + (", ".join(map(str, get_args(kind))) or "true,false"),
        )
    both = all(isinstance(end, int) for end in ends)
    if whole and not both:
        raise UsageError(f"'{text}' is no range of whole numbers", expected=f"'{key}' takes whole numbers")
    if both and not real:
        return IntDistribution(low, high, log=bool(scale))
    return FloatDistribution(low, high, log=bool(scale))


def _choices(key: str, values: str, text: str) -> BaseDistribution:
    options = [_value(part) for part in values.split(",") if part.strip()]
    if not all(option is None or isinstance(option, bool | int | float | str) for option in options):
        raise UsageError(f"'{text}' has choices that are no plain values", expected=_FORMS)
    if len(options) < 2 or len({repr(option) for option in options}) < len(options):
        raise UsageError(
            f"'{text}' leaves nothing to choose", expected=f"two different values or more: {_FORMS}"
        )
    return CategoricalDistribution(options)


def _value(text: str) -> Any:
    try:
        return parse_setting(f"value={text.strip()}")["value"]
    except UsageError:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _probes(kind: BaseDistribution) -> list[Any]:
    if isinstance(kind, CategoricalDistribution):
        return list(kind.choices)
    assert isinstance(kind, FloatDistribution | IntDistribution)  # noqa: S101 - for the type checker
    return [kind.low, kind.high]

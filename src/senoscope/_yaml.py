"""Plain YAML files, read without running or expanding anything: recipes and configurations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from senoscope.errors import ConfigError

_MAX_BYTES = 200_000


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that reads 1e-3 as the number it is (YAML 1.2), not as text (YAML 1.1)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_value(text: str) -> Any:
    """One YAML value. Raises ``yaml.YAMLError`` for text that is none, tags included."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader


def read_mapping(path: Path, what: str, start: str) -> dict[str, Any]:
    """The keys and values of a YAML file; ``what`` names its kind in messages, ``start`` says where to get one.

    Raises ``ConfigError`` for a file that is missing, too large, not YAML, or holds tags, aliases or no mapping.
    """
    if not path.is_file():
        raise ConfigError(f"there is no {what} {path}", expected="a YAML file", fix=start)
    if path.stat().st_size > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES} bytes", expected=f"a {what} of a page at most")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ConfigError(
                f"{path} uses YAML aliases", expected="plain values", fix="write the values out"
            )
        content = read_value(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(
            f"{path} is not plain YAML: {detail}", expected="keys and values without tags"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds {type(content).__name__}", expected=f"a mapping of {what} keys")
    return content

"""The gateway's settings: a YAML file, checked key by key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from senoscope._yaml import read_mapping
from senoscope.catalog import nearest
from senoscope.errors import ConfigError
from senoscope.inference.bundle import DEFAULT_BUNDLE

EXAMPLE = Path(__file__).with_name("example.yaml")
"""A commented configuration; ``senoscope gateway --example`` prints it."""

Kind = Literal["SEG", "SR", "SC"]
_TITLE = r"^[!-\[\]-~](?:[ !-\[\]-~]{0,14}[!-\[\]-~])?$"  # PS3.5 section 6.2: 16 characters, no backslash


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Tls(_Part):
    """Encryption: our certificate with its key, and who must have signed the other side's (``ca``). PEM files."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


class Node(_Part):
    """The DICOM node that images are sent to."""

    ae_title: str = Field(default="SENOSCOPE", pattern=_TITLE)
    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535, description="0 takes a free one")
    idle_s: float = Field(default=60, gt=0, le=3600)
    max_associations: int = Field(default=10, ge=1, le=1000)
    reserve_mb: int = Field(default=1024, ge=0)
    tls: Tls | None = None

    @model_validator(mode="after")
    def _sound(self) -> Node:
        if self.tls is not None and self.tls.certificate is None:
            raise ValueError("tls needs certificate and key")
        return self


class Peer(_Part):
    """An application that may send, and where it answers."""

    ae_title: str = Field(pattern=_TITLE)
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    query: bool = False
    tls: Tls | None = None

    @model_validator(mode="after")
    def _whole(self) -> Peer:
        if (self.host is None) != (self.port is None):
            raise ValueError("host and port belong together")
        if self.query and self.host is None:
            raise ValueError("query needs host and port")
        return self


class Series(_Part):
    """When a series counts as complete."""

    quiet_s: float = Field(default=20, ge=0, le=86_400)


class Work(_Part):
    """How images are analysed."""

    bundle: str = DEFAULT_BUNDLE
    workers: int = Field(default=1, ge=1, le=64)
    timeout_s: int = Field(default=300, ge=1, le=86_400)


class Destination(_Part):
    """Where results go: a DICOM node, or a STOW-RS service."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,29}$")
    ae_title: str | None = Field(default=None, pattern=_TITLE)
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    stow: str | None = Field(default=None, pattern=r"^https?://\S+$")
    authorization_env: str | None = None
    objects: tuple[Kind, ...] = Field(default=("SEG", "SR"), min_length=1)
    tls: Tls | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Destination:
        node = (self.ae_title, self.host, self.port)
        if self.stow is None and None in node:
            raise ValueError("a destination needs ae_title, host and port, or stow")
        if self.stow is not None and node != (None, None, None):
            raise ValueError("a destination has either ae_title, host and port, or stow")
        _check_https(self.stow, self.tls)
        return self


class Retry(_Part):
    """How often, and after which delays, a failure is tried again."""

    attempts: int = Field(default=8, ge=1, le=100)
    first_s: float = Field(default=5, gt=0)
    longest_s: float = Field(default=600, gt=0)


class Poll(_Part):
    """A DICOMweb server that is asked for new studies."""

    url: str = Field(pattern=r"^https?://\S+$")
    every_s: float = Field(default=60, ge=0.1)
    days: int = Field(default=1, ge=0, le=366)
    filters: dict[str, str] = Field(default_factory=lambda: {"ModalitiesInStudy": "US"})
    authorization_env: str | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _encrypted(self) -> Poll:
        _check_https(self.url, self.tls)
        return self


def _check_https(url: str | None, tls: Tls | None) -> None:
    if url is not None and tls is not None and not url.startswith("https:"):
        raise ValueError("tls needs a URL that begins with https:")


class Config(_Part):
    """Everything a gateway is told. Times in seconds."""

    data_dir: Path = Path("senoscope-gateway")
    node: Node = Node()
    peers: tuple[Peer, ...] = ()
    series: Series = Series()
    analysis: Work = Work()
    destinations: tuple[Destination, ...] = Field(min_length=1)
    retry: Retry = Retry()
    poll: Poll | None = None
    keep_days: float | None = Field(default=None, gt=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _sound(self) -> Config:
        if not self.peers and self.poll is None:
            raise ValueError("nobody may send: name at least one of peers, or a server to poll")
        if self.poll and self.keep_days is not None and self.keep_days < self.poll.days + 1:
            raise ValueError("keep_days must exceed poll.days, or what was deleted would be fetched again")
        for what in ("peers", "destinations"):
            names = [item.name if what == "destinations" else item.ae_title for item in getattr(self, what)]
            if len(set(names)) < len(names):
                raise ValueError(f"two {what} have the same name")
        return self

    def peer(self, ae_title: str) -> Peer | None:
        """The peer of that title, if it is known."""
        return next((peer for peer in self.peers if peer.ae_title == ae_title.strip()), None)


def read_config(path: Path, *, data_dir: Path | None = None) -> Config:
    """Read and check a configuration; ``data_dir`` replaces the file's.

    Raises ``ConfigError`` for a file that is missing or not plain YAML, an unknown key (the nearest right one is
    named), or a value of the wrong type or out of range.
    """
    content = read_mapping(path, "configuration", "start from 'senoscope gateway --example'")
    if data_dir is not None:
        content = {**content, "data_dir": str(data_dir)}
    return make_config(content, source=str(path))


def make_config(content: dict[str, Any], source: str = "configuration") -> Config:
    """Check settings given as a dictionary. Raises ``ConfigError`` naming every faulty key."""
    try:
        return Config.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(problems), fix="correct the named keys") from error


def _describe(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        close = nearest(str(problem["loc"][-1]), _keys(problem["loc"][:-1]))
        return f"unknown key '{place}'" + (f" (did you mean '{close[0]}'?)" if close else "")
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] in ("missing", "value_error"):
        return f"{place}: {message}" if place else message
    return f"{place} = {problem['input']!r}: {message}"


def _keys(place: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place of the configuration."""
    model: type[BaseModel] = Config
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            inner = _model_in(model.model_fields[part].annotation)
            model = inner or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for item in get_args(annotation) if (found := _model_in(item))), None)

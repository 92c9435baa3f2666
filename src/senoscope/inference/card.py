"""``card.json``: everything a bundle says of itself, checked key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from senoscope._files import write_text
from senoscope.catalog import nearest
from senoscope.errors import BundleError
from senoscope.imaging.preprocess import Preprocess
from senoscope.inference.scope import ScopeModel
from senoscope.schema import CLASSES, RESEARCH_USE

CARD = "card.json"
DEFAULT_SYSTEM = "senoscope-us"
OUTPUTS = ("class_logits", "mask_logits", "class_map", "pool_weights", "boxes", "contour_logits")
"""Every output a bundle's network may have, by the names of ``models.interface.Outputs``."""
DEFAULT_GIVES = OUTPUTS[:4]
_MAX_CARD_BYTES = 1_000_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Calibration(_Part):
    """How logits become probabilities: ``softmax(logits / temperature)``, and where the temperature comes from.

    ``prevalence`` is the share of each class among the ``n`` images it was fitted on: probabilities speak of a
    population with those shares and no other.
    """

    temperature: float = Field(gt=0)
    method: str = "temperature scaling on validation folds"
    n: int | None = Field(default=None, ge=1)
    split_hash: str | None = None
    prevalence: dict[str, float] = Field(default_factory=dict)


class DataSource(_Part):
    """One dataset the model was trained on: how many images (``None``: not known), which split, on whose terms.

    Of a user's own data, whose name says little, ``images`` tells which: ``sha256:`` and the first 16 digits of each
    image file's hash. It is empty for a public dataset.
    """

    name: str
    n: int | None = Field(ge=0)
    split: str
    split_hash: str
    licence: str
    citation: str
    images: tuple[str, ...] = ()


class Figure(_Part):
    """One measured result with its 95 % interval and the number of cases behind it."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Card(_Part):
    """What a bundle says of itself.

    ``system`` is the architecture's name and ``gives`` are the outputs its network has (of ``OUTPUTS``). ``classes``
    is empty and ``calibration`` absent where it does not classify; without calibration, probabilities are plain
    softmax. ``modalities`` are the DICOM codes of the images it learnt from; others are out of scope.
    ``operating_points`` holds named thresholds on a class's calibrated probability, frozen on validation data
    (``{"malignant": {"threshold_sens90": 0.21, ...}}``). A pixel belongs to a lesion from ``mask_threshold`` up; a
    lesion has at least ``min_area`` of the image's pixels and ``min_share`` of the weight (summed probability above the
    threshold) of the heaviest lesion beside it. With ``refine`` the network looks again, closer, at a window around
    what it outlined (``imaging.regions.refine``). From ``uncertainty_limit`` (normalised entropy) on, the model is said
    not to know. ``files`` maps each file of the bundle to its SHA-256. ``results`` are figures measured on data the
    measured networks never saw, grouped by protocol.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str
    system: str = DEFAULT_SYSTEM
    gives: tuple[str, ...] = DEFAULT_GIVES
    modalities: tuple[str, ...] = ("US",)
    classes: tuple[str, ...]
    preprocess: Preprocess
    calibration: Calibration | None = None
    operating_points: dict[str, dict[str, float]] = Field(default_factory=dict)
    mask_threshold: float = Field(default=0.5, gt=0, lt=1)
    min_area: float = Field(default=0.0006, ge=0, lt=1)
    min_share: float = Field(default=0.0, ge=0, le=1)
    refine: bool = False
    uncertainty_limit: float = Field(default=0.9, gt=0, le=1)
    scope: ScopeModel | None = None
    data: tuple[DataSource, ...] = ()
    results: dict[str, dict[str, Figure]] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    licence: str = "Apache-2.0"
    research_use: str = RESEARCH_USE
    created_with: dict[str, str] = Field(default_factory=dict)
    intended_use: str = ""
    limits: tuple[str, ...] = ()

    @property
    def classifies(self) -> bool:
        """Whether there are class probabilities."""
        return "class_logits" in self.gives

    @property
    def outlines(self) -> bool:
        """Whether there is a lesion map."""
        return "mask_logits" in self.gives

    @property
    def explains(self) -> bool:
        """Whether there is a heatmap: the class map is the evidence that the class is the sum of."""
        return {"class_logits", "class_map", "pool_weights"} <= set(self.gives)

    @property
    def temperature(self) -> float:
        """What logits are divided by: 1 without calibration."""
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def absent(self) -> tuple[str, ...]:
        """What this model does not give, in a reader's words."""
        there = {
            "class probabilities": self.classifies,
            "outlines": self.outlines,
            "heatmaps": self.explains,
        }
        return tuple(word for word, given in there.items() if not given)

    @field_validator("gives")
    @classmethod
    def _known_outputs(cls, gives: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in gives if name not in OUTPUTS]
        if unknown or len(set(gives)) < len(gives):
            raise ValueError(f"outputs must be some of {', '.join(OUTPUTS)}, each once")
        if not {"class_logits", "mask_logits", "boxes"} & set(gives):
            raise ValueError("a network must give class_logits, mask_logits or boxes")
        return gives

    @field_validator("classes")
    @classmethod
    def _known_classes(cls, classes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "class_logits" in info.data.get("gives", DEFAULT_GIVES):
            if classes != CLASSES:
                raise ValueError(f"classes must be {', '.join(CLASSES)}, in this order")
        elif classes:
            raise ValueError("classes must be empty: the network gives no class_logits")
        return classes

    @field_validator("files")
    @classmethod
    def _plain_names(cls, files: dict[str, str]) -> dict[str, str]:
        for name, digest in files.items():
            if not name or name.startswith(".") or set(name) & set('/\\:"'):
                raise ValueError(f"'{name}' is not a plain file name")
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise ValueError(f"the hash of '{name}' is not a SHA-256 in lower-case hexadecimal")
        return files


def read_card(path: Path) -> Card:
    """Read and check a ``card.json``. Raises ``BundleError`` naming the key that is wrong."""
    try:
        if path.stat().st_size > _MAX_CARD_BYTES:
            raise BundleError(f"{path.name} has {path.stat().st_size:,} bytes", expected="a card below 1 MB")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BundleError(
            f"'{path.parent}' holds no {CARD}",
            expected="a bundle: card.json, model.onnx, weights.safetensors",
            fix="name the folder of a bundle",
        ) from None
    except UnicodeDecodeError:
        raise BundleError(
            f"{path.name} is not UTF-8 text", fix="install or export the bundle again"
        ) from None
    try:
        return Card.model_validate_json(text, strict=False)
    except ValidationError as error:
        raise BundleError(
            f"{path.name}: {_first_problem(error)}",
            expected="a card of this version of Senoscope",
            fix="install the bundle again, or a Senoscope that knows it",
        ) from None


def save_card(card: Card, folder: Path) -> Path:
    """Write ``card.json`` into a bundle's folder (whole or not at all) and return its path."""
    path = folder / CARD
    write_text(path, card.model_dump_json(indent=2) + "\n")
    return path


def _first_problem(error: ValidationError) -> str:
    problem: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        close = nearest(str(problem["loc"][-1]), Card.model_fields)
        return f"unknown key '{where}'" + (f" (did you mean '{close[0]}'?)" if close else "")
    return f"'{where}': {problem['msg']}"

"""The card of an exported run: what it learnt from, what it gives, and where it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from senoscope import __version__
from senoscope import data as datasets
from senoscope._files import sha256_file
from senoscope.data.identity import is_digest
from senoscope.export.calibration import Fitted
from senoscope.export.texts import intended_use, limits
from senoscope.imaging.read import read_sample
from senoscope.imaging.regions import MASK_THRESHOLD, MIN_AREA, MIN_SHARE
from senoscope.inference.card import Card, DataSource, Figure
from senoscope.inference.scope import ScopeModel, fit_scope
from senoscope.schema import CLASSES, FloatArray, Record
from senoscope.training.data import phantoms_of
from senoscope.training.lineage import Case
from senoscope.training.recipe import Recipe

MODEL, WEIGHTS = "model.onnx", "weights.safetensors"


def make_card(
    name: str,
    recipe: Recipe,
    manifest: dict[str, Any],
    gives: tuple[str, ...],
    sides: dict[str, list[Record]],
    known: set[Case],
    fitted: Fitted,
    folder: Path,
    results: Path | None,
) -> Card:
    """The card of the bundle in ``folder``, which holds network and weights already; they have seen ``known``."""
    seen = sides["train"] + sides["valid"]
    modalities = {record.modality for record in seen} | ({"US"} if recipe.phantoms else set())
    calibration, points = fitted
    card = Card(
        name=name,
        version=__version__,
        system=recipe.system,
        gives=gives,
        modalities=tuple(sorted(modalities)),
        classes=CLASSES if "class_logits" in gives else (),
        preprocess=recipe.preprocess,
        calibration=calibration,
        operating_points={"malignant": points} if points else {},
        mask_threshold=MASK_THRESHOLD,
        min_area=MIN_AREA,
        min_share=MIN_SHARE,
        refine=recipe.refine and "mask_logits" in gives,
        scope=_scope(seen, recipe),
        data=(
            *(_source(source.name, manifest, sides, known) for source in recipe.data),
            *_phantoms(recipe),
            *_before(recipe, manifest, known),
        ),
        results=_figures(results),
        files={file: sha256_file(folder / file) for file in (MODEL, WEIGHTS)},
        created_with={
            "senoscope": __version__,
            "commit": manifest["commit"] or "unknown",
            **{p: version(p) for p in ("torch", "onnx", "timm")},
        },
    )
    texts = {
        "intended_use": intended_use(card),
        "limits": (*limits(card, recipe, seen), *manifest["stamps"]),
    }
    return card.model_copy(update=texts)


def _scope(records: Sequence[Record], recipe: Recipe) -> ScopeModel | None:
    """What the training images look like; unknown where they are too few to say."""
    try:
        return fit_scope(_grays(records, recipe))
    except ValueError:
        return None


def _grays(records: Sequence[Record], recipe: Recipe) -> Iterator[FloatArray]:
    """What the network was trained on, simulated images included."""
    for record in records:
        yield read_sample(record).image
    for phantom in phantoms_of(recipe.phantoms, recipe.seed, recipe.preprocess.size):
        yield phantom.image.astype(np.float32) / np.float32(255)


def _images(name: str, known: set[Case]) -> tuple[str, ...]:
    """The images of a user's own dataset that the run, or what it started from, has seen; none unless all are known."""
    keys = {key for dataset, key in known if dataset == name}
    return tuple(sorted(keys)) if all(map(is_digest, keys)) else ()


def _source(
    name: str, manifest: dict[str, Any], sides: dict[str, list[Record]], known: set[Case]
) -> DataSource:
    row = datasets.info(name)
    split, _, digest = manifest["splits"][name].partition("@")
    count = sum(r.dataset == name for side in ("train", "valid") for r in sides[side])
    return DataSource(
        name=name,
        n=count,
        split=split,
        split_hash=digest,
        licence=row.text("licence"),
        citation=row.text("citation"),
        images=_images(name, known),
    )


def _phantoms(recipe: Recipe) -> tuple[DataSource, ...]:
    if not recipe.phantoms:
        return ()
    return (
        DataSource(
            name="phantoms",
            n=recipe.phantoms,
            split="simulated",
            split_hash="",
            licence="Apache-2.0",
            citation="Senoscope's simulator",
        ),
    )


def _before(recipe: Recipe, manifest: dict[str, Any], known: set[Case]) -> Iterator[DataSource]:
    """The datasets that only the weights the run started from have seen: figures on them would be in-sample too."""
    own = {source.name for source in recipe.data}
    for name, count in manifest.get("before", {}).items():
        if name not in own and name in datasets.names():
            row = datasets.info(name)
            yield DataSource(
                name=name,
                n=count,
                split="in the weights it started from",
                split_hash="",
                licence=row.text("licence"),
                citation=row.text("citation"),
                images=_images(name, known),
            )


def _figures(results: Path | None) -> dict[str, dict[str, Figure]]:
    if results is None:
        return {}
    content = json.loads(results.read_text(encoding="utf-8"))
    return {
        group: {key: Figure(**leaf) for key, leaf in figures.items()}
        for group, figures in content.items()
        if group not in ("speed", "about")
    }

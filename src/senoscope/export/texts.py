"""What a card says in words, derived from the recipe and its data: it must hold for any run."""

from __future__ import annotations

from collections.abc import Sequence

from senoscope import models
from senoscope.inference.card import DEFAULT_SYSTEM, Card
from senoscope.inference.scope import modality_words
from senoscope.schema import CLASSES, Record
from senoscope.training.recipe import Recipe

SHIPPED_LIMITS = (
    "Trained on images of two hospitals (Cairo and Rio de Janeiro); scanners, presets and populations that differ "
    "lower its accuracy, as the figures across datasets show.",
    "Normal images come from one hospital and from simulation only.",
    "Probabilities hold for the class shares given under calibration, not for a screening population.",
    "No Doppler, elastography, volumes or cine; no axilla, implants or post-operative breasts were studied.",
)
"""Of the default system on BUSI, BUS-BRA and simulated images, whose hospitals and gaps are known."""


def intended_use(card: Card) -> str:
    """What the bundle is for."""
    kind = (
        "B-mode breast ultrasound"
        if card.modalities == ("US",)
        else f"breast {modality_words(card.modalities)}"
    )
    verb = "outlining" if card.outlines else "locating"
    if not card.outlines and "boxes" not in card.gives:
        task = "classifying single images"
    elif card.classifies:
        task = f"{verb} and scoring lesions in single images"
    else:
        task = f"{verb} lesions in single images"
    return f"Research on {kind}: {task}. Not for diagnosis, screening or any decision about a patient."


def limits(card: Card, recipe: Recipe, seen: Sequence[Record]) -> tuple[str, ...]:
    """Where the bundle ends. ``seen`` are the records of training and validation."""
    names = {source.name for source in recipe.data}
    if recipe.system == DEFAULT_SYSTEM and names == {"busi", "bus-bra"} and recipe.phantoms:
        return SHIPPED_LIMITS
    simulated = f" and {recipe.phantoms} simulated ones" if recipe.phantoms else ""
    said = [
        f"Trained on {len(seen)} images of {' and '.join(sorted(names))}{simulated}; scanners, presets and "
        "populations that differ lower its accuracy."
    ]
    if card.classifies:
        said += _about_classes(card, recipe, seen)
    if models.info(recipe.system).resolve().uses_mask:
        measured = (
            "the run's figures were measured with it" if recipe.mask_given else "as the run's figures do"
        )
        said.append(
            f"The network can be given the lesion's true mask; this bundle answers without it ({measured})."
        )
    if not card.results:
        said.append("No measured figure came with it.")
    more = "Doppler, elastography, volumes or cine" if "US" in card.modalities else "volumes or series"
    return (*said, f"Single gray images only: no {more}.")


def _about_classes(card: Card, recipe: Recipe, seen: Sequence[Record]) -> list[str]:
    labels = {record.label for record in seen}
    missing = [name for name in CLASSES if name not in labels]
    said = []
    if missing:
        instead = ", only simulated ones" if recipe.phantoms else ", so it is not expected to recognise one"
        said.append(f"It learnt from no real image labelled {' or '.join(missing)}{instead}.")
    if card.calibration is None:
        said.append("Its probabilities are not calibrated.")
    else:
        said.append(
            "Probabilities hold for the class shares given under calibration, not for a screening population."
        )
    return said

"""The model card page: ``card.json`` and the catalog row, told to a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from senoscope import models
from senoscope.errors import BundleError
from senoscope.inference.bundle import DEFAULT_BUNDLE, load_bundle
from senoscope.inference.card import CARD, Card
from senoscope.models import page

_TITLES = {
    "busi_grouped_5fold": "BUSI, grouped 5-fold, out-of-fold",
    "bus_bra_folds_1_4": "BUS-BRA, patient folds 1–4, out-of-fold",
    "busi_to_bus_bra": "Trained on BUSI, tested on BUS-BRA",
    "bus_bra_to_busi": "Trained on BUS-BRA, tested on BUSI's lesions",
    "calibration": "Calibration, out-of-fold",
    "phantoms": "Unseen simulated images",
}


_SIBLINGS = (
    "The measured networks are siblings of the shipped one, trained without the tested images; the shipped one has",
    "seen all of them and is itself measured on simulated images only.",
    "",
)


def describe(name: str) -> dict[str, Any]:
    """A system's catalog row, its shipped card if it has one, and both as a Markdown ``page``; or a bundle's folder.

    Raises ``UsageError`` for what is neither in the catalog nor such a folder, ``BundleError`` for a damaged bundle.
    """
    if name not in models.names() and (Path(name) / CARD).is_file():
        return _described(load_bundle(name).card)
    row = models.info(name)
    try:
        card: Card | None = load_bundle(name).card
    except BundleError:
        card = None
    return {
        **row.as_dict(),
        "card": card.model_dump(mode="json") if card else None,
        "page": page.render(row) + (render(card) if card else ""),
    }


def _described(card: Card) -> dict[str, Any]:
    row = models.info(card.system)
    title = f"# {card.name}\n\nThe system {card.system}, trained: {row.title}.\n"
    return {**row.as_dict(), "card": card.model_dump(mode="json"), "page": title + render(card)}


def render(card: Card) -> str:
    """The card as Markdown: use, data, results with intervals, calibration, limits."""
    measured = [
        "## Measured on images the measured networks never saw",
        "",
        *(_SIBLINGS if card.name == DEFAULT_BUNDLE else ()),
        "| protocol | figure | value | 95 % interval | n |",
        "|---|---|---|---|---|",
    ]
    lines = [
        "",
        f"Version {card.version}, licence {card.licence}. **{card.research_use}**",
        *(("", f"Not given by this model: {', '.join(card.absent)}.") if card.absent else ()),
        "",
        "## Intended use",
        "",
        card.intended_use,
        "",
        "## Trained on",
        "",
        "| data | images | split | licence |",
        "|---|---|---|---|",
        *(
            f"| {d.name}{d.citation and f': {d.citation}'} | {d.n or 'not known'} | {d.split} {d.split_hash[:12]} "
            f"| {d.licence} |"
            for d in card.data
        ),
        "",
        *(measured if card.results else ["No figures were measured for this card."]),
    ]
    for group, figures in card.results.items():
        for figure, leaf in figures.items():
            between = "" if leaf.low is None or leaf.high is None else f"{leaf.low:.3f}–{leaf.high:.3f}"
            count = "" if leaf.n is None else leaf.n
            lines.append(
                f"| {_TITLES.get(group, group)} | {figure} | {leaf.value:.3f} | {between} | {count} |"
            )
    lines += ["", *_calibration(card), "", "## Limits", "", *(f"- {limit}" for limit in card.limits), ""]
    return "\n".join(lines)


def _calibration(card: Card) -> list[str]:
    fitted = card.calibration
    if not card.classifies:
        return ["## Calibration", "", "Not given by this model: it does not classify."]
    if fitted is None:
        return ["## Calibration", "", "None: probabilities are the network's own."]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in fitted.prevalence.items())
    points = ", ".join(
        f"{key.removeprefix('threshold_')} {value:.3f}"
        for key, value in card.operating_points.get("malignant", {}).items()
    )
    return [
        "## Calibration",
        "",
        f"Temperature {fitted.temperature:.3f} ({fitted.method}, n = {fitted.n}). "
        f"Probabilities speak of a population with {shares}. Thresholds on P(malignant): {points or 'none'}.",
    ]

"""What the weights that a training starts from have seen: it must not be what the training is tested on."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

from senoscope.data.identity import identity, is_digest, own_datasets
from senoscope.errors import LeakageError, WeightsError
from senoscope.schema import Record
from senoscope.training.data import Parts
from senoscope.training.recipe import read_recipe

CASES, BEFORE = "cases.csv", "before"
"""A run's table of cases, and the side of those that only the weights it started from have seen.

Where a leak is allowed, a case stands there twice, tested and seen before: whoever starts from the run must know."""

ALL, UNKNOWN = "*", "?"
"""In place of an id: every image of the dataset. In place of a dataset: nobody knows which."""

Case = tuple[str, str]
"""Dataset and identity (``data.identity``)."""

UNKNOWN_START = "STARTED FROM WEIGHTS OF UNKNOWN TRAINING ({}): they may have seen the images of the test."


def seen_by(weights: Path) -> set[Case]:
    """The cases that a file of weights was trained or chosen on, itself or by what it started from in turn.

    A run says it image by image (``cases.csv`` beside the weights), a bundle by its datasets (``card.json``; a user's
    own data image by image), any other file not at all: ``{("?", "*")}``. Raises ``WeightsError`` if either file is
    damaged.
    """
    cases, card = weights.parent / CASES, weights.parent / "card.json"
    try:
        if cases.is_file():
            recipe = weights.parent / "recipe.yaml"
            by_test = recipe.is_file() and read_recipe(recipe).judge == "test"  # they chose the epoch
            with cases.open(encoding="utf-8", newline="") as stream:
                return {
                    (row["dataset"], row.get("image") or row["id"])
                    for row in csv.DictReader(stream)
                    if row["side"] != "test" or by_test
                }
        if card.is_file():
            sources = json.loads(card.read_text(encoding="utf-8"))["data"]
            return {
                (source["name"], key)
                for source in sources
                if source["split"] != "simulated"
                for key in source.get("images") or [ALL]
            }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"what {weights} was trained on cannot be read: {error!r}",
            expected=f"{CASES} of a run or card.json of a bundle, as they were written",
            fix="restore the folder the weights lie in",
        ) from error
    return {(UNKNOWN, ALL)}


def require_unseen(parts: Parts, weights: Path, *, allow: bool = False) -> None:
    """Enter into ``parts`` what the starting weights have seen; refuse if a held-out case, or a patient or group with
    a held-out case, is among it.

    Raises ``LeakageError`` unless ``allow``, which stamps the run. Weights that nobody knows the training of stamp it
    as well. Raises ``WeightsError`` if what they were trained on cannot be read.
    """
    seen = seen_by(weights)
    records = parts.train + parts.valid + parts.test
    parts.before = sorted(
        seen - {(r.dataset, identity(r)) for side in (parts.train, parts.valid) for r in side}
    )
    if (UNKNOWN, ALL) in seen:
        parts.stamps += (UNKNOWN_START.format(weights.name),)
    met = {link for r in records if is_seen(r, seen) for link in _links(r)}
    held = [r for r in parts.test if is_seen(r, seen) or met & _links(r)]
    if not held:
        return
    named = ", ".join(record.id for record in held[:3]) + (", …" if len(held) > 3 else "")
    found = f"{len(held)} of {len(parts.test)} held-out images ({named})"
    if not allow:
        raise LeakageError(
            f"{weights} has seen {found}, or others of the same patient or group",
            expected="weights from a training that held out the same fold, or from other data",
            fix="start from such weights, or allow it with --allow-leaks, which marks every report of this run",
        )
    parts.stamps += (
        f"LEAKING START: the weights it started from had seen {found}; its figures are too good.",
    )


def seen_datasets(parts: Parts) -> dict[str, int | None]:
    """The datasets of ``parts.before`` and how many images of each, ``None`` where that is not known."""
    counts = Counter(dataset for dataset, _ in parts.before)
    return {name: None if (name, ALL) in parts.before else count for name, count in sorted(counts.items())}


def is_seen(record: Record, seen: set[Case]) -> bool:
    """Whether a record is among the cases of :func:`seen_by`; a user's own image also where the other way lists it."""
    name, key = record.dataset, identity(record)
    if (name, ALL) in seen or (name, record.id) in seen or (name, key) in seen:
        return True
    return is_digest(key) and any((own, key) in seen for own in own_datasets())


def _links(record: Record) -> set[tuple[str, str, str]]:
    named = (("patient", record.patient), ("group", record.group))
    return {(record.dataset, kind, value) for kind, value in named if value is not None}

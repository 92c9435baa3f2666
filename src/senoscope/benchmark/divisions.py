"""How a protocol divides a dataset: which datasets are trained on, by which split, and who is tested in which fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from senoscope import catalog, data
from senoscope.data.splits import Split, SplitRow, load_split, make_split
from senoscope.errors import UsageError
from senoscope.schema import Record

RANDOM_FOLDS = 5
"""One of five random parts is the 20 % of a random 80/20 split."""

Roots = dict[str, Path]
"""Where datasets lie, by name; one that is not named is looked for in the shared data folder."""


@dataclass(frozen=True)
class Division:
    """A dataset divided.

    ``sources`` are the datasets trained on, ``split`` divides the (only) one that is tested too, ``test`` gives the
    records tested in each fold. ``hash`` identifies all of that.
    """

    sources: tuple[str, ...]
    split: Split
    test: dict[int, tuple[Record, ...]]
    hash: str
    made: bool = False
    """Whether the split is made here and has to be written for a training to read it."""


def frozen(dataset: str, roots: Roots, seed: int = 0) -> Division:
    """The dataset's frozen split, whose folds cut no patient and no group of near-duplicates."""
    return _by_folds(dataset, roots, _split_of(dataset, "split"))


def official(dataset: str, roots: Roots, seed: int = 0) -> Division:
    """The folds published by the dataset's owner. Raises ``UsageError`` where there are none."""
    return _by_folds(dataset, roots, _split_of(dataset, "official"))


def random(dataset: str, roots: Roots, seed: int = 0) -> Division:
    """A random, class-balanced 80/20 division of all images, conflicting and duplicated ones included (fold 1)."""
    records = data.load(dataset, roots.get(dataset))
    split = make_split(records, RANDOM_FOLDS, seed, by=(), name=f"{dataset}-random-80-20")
    tested = set(split.test(1))
    test = {1: tuple(record for record in records if record.id in tested)}
    return Division((dataset,), split, test, split.hash, made=True)


def everything(dataset: str, roots: Roots, seed: int = 0) -> Division:
    """All images on both sides: what code does that reads one folder for training and for test (fold 1)."""
    records = tuple(data.load(dataset, roots.get(dataset)))
    rows = tuple(
        SplitRow(id=r.id, dataset=r.dataset, patient=r.patient, group=r.group, label=r.label, fold=1)
        for r in records
    )
    split = Split(f"{dataset}-everything", rows)
    return Division((dataset,), split, {1: records}, split.hash, made=True)


def other_datasets(dataset: str, roots: Roots, seed: int = 0) -> Division:
    """All images of every other dataset of the modality with a frozen split; tested on this one's kept images (fold 1).

    Raises ``UsageError`` where no other dataset is at hand.
    """
    rows = catalog.load("senoscope.data")
    modality = data.info(dataset).text("modality")
    others = tuple(
        name
        for name, row in rows.items()
        if name != dataset
        and row.text("modality") == modality
        and row.text("split")
        and (name in roots or data.is_found(name))
    )
    if not others:
        raise UsageError(
            f"no other dataset of modality {modality} is at hand",
            expected="a dataset to train on while all of " + dataset + " is tested",
            fix="put one into the data folder: senoscope datasets list",
        )
    own = _split_of(dataset, "split")
    records = data.load(dataset, roots.get(dataset))
    kept = tuple(record for record in records if own.fold_of(record.id) is not None)
    hashes = [load_split(rows[name].text("split")).hash for name in others]
    return Division(others, own, {1: kept}, "+".join(hashes))


def _by_folds(dataset: str, roots: Roots, split: Split) -> Division:
    records = data.load(dataset, roots.get(dataset))
    folds = {fold: tuple(r for r in records if split.fold_of(r.id) == fold) for fold in split.folds}
    return Division((dataset,), split, {k: v for k, v in folds.items() if v}, split.hash)


def _split_of(dataset: str, key: str) -> Split:
    name = data.info(dataset).text(key)
    if not name:
        having = [n for n, row in catalog.load("senoscope.data").items() if row.text(key)]
        what = "folds of its owner" if key == "official" else "frozen split"
        raise UsageError(
            f"{dataset} has no {what}",
            expected="a dataset that has: " + ", ".join(having),
            fix="choose another of the protocols or datasets: senoscope benchmark protocols",
        )
    return load_split(name)

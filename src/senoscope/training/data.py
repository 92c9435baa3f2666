"""From a recipe to arrays: who trains, validates and tests, prepared once and kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from senoscope import data as datasets
from senoscope.data.identity import identity
from senoscope.data.phantoms import Phantom, simulate
from senoscope.data.splits import Split, load_split, make_split, require_no_leaks
from senoscope.errors import DatasetError
from senoscope.imaging.preprocess import Preprocess
from senoscope.imaging.read import read_sample
from senoscope.schema import CLASSES, BoolArray, FloatArray, Record
from senoscope.training.recipe import DataSource, Recipe

UNKNOWN = -1
"""Label of an image whose class is not known."""

JUDGED = "BEST EPOCH CHOSEN ON THE {} IMAGES: figures are too good."
"""The stamp of a run whose epoch was not chosen on validation images."""

_PHANTOM_SEEDS = 10_000_000
"""Training phantoms start here, far from the small seeds and the 63-bit ones that demonstrations and tests use."""


@dataclass
class Parts:
    """Who is on which side of a training, and what reports must say of it."""

    train: list[Record] = field(default_factory=list)
    valid: list[Record] = field(default_factory=list)
    test: list[Record] = field(default_factory=list)
    judge: list[Record] = field(
        default_factory=list
    )  # who chooses the epoch: ``valid``, in an honest training
    splits: dict[str, str] = field(default_factory=dict)  # dataset: split name and hash
    before: list[tuple[str, str]] = field(
        default_factory=list
    )  # dataset and identity of what only the starting weights have seen
    stamps: tuple[str, ...] = ()

    @property
    def data_hash(self) -> str:
        """SHA-256 over the identities of each side, so that two runs can be seen to share their cases."""
        text = "\n".join(
            "\t".join(sorted(identity(r) for r in side)) for side in (self.train, self.valid, self.test)
        )
        return hashlib.sha256(text.encode()).hexdigest()


def collect(recipe: Recipe, *, allow_leaks: bool = False) -> Parts:
    """Divide the recipe's datasets into training, validation and test records.

    The validation part is a grouped, stratified share of what is not tested; no patient or duplicate group is cut.
    Raises ``LeakageError`` for a split that leaks unless ``allow_leaks``, which stamps the run.
    """
    parts = Parts()
    for source in recipe.data:
        rest, test = _divide(source, parts, allow_leaks)
        parts.test += test
        if recipe.judge != "validation":
            parts.train += rest
            continue
        inner = make_split(rest, max(2, round(1 / recipe.valid_fraction)), recipe.seed, name="validation")
        held = set(inner.test(1))
        parts.train += [r for r in rest if r.id not in held]
        parts.valid += [r for r in rest if r.id in held]
    parts.judge = {"validation": parts.valid, "test": parts.test, "training": parts.train}[recipe.judge]
    if recipe.judge != "validation":
        parts.stamps += (JUDGED.format(recipe.judge.upper()),)
    return parts


def _divide(source: DataSource, parts: Parts, allow_leaks: bool) -> tuple[list[Record], list[Record]]:
    records = datasets.load(source.name, source.root)
    name = source.split or datasets.info(source.name).text("split")
    if not name:
        if source.fold is not None:
            raise DatasetError(
                f"{source.name} has no split to take fold {source.fold} from",
                fix="make one with: senoscope split, and name its file under 'split'",
            )
        parts.splits[source.name] = "none"
        return records, []
    split = load_split(name)
    parts.splits[source.name] = f"{split.name}@{split.hash}"
    parts.stamps += require_no_leaks(split, records, allow=allow_leaks)
    kept = [r for r in records if split.fold_of(r.id) is not None]
    if not kept:
        raise DatasetError(
            f"the split {split.name} knows none of the {len(records)} images of {source.name}",
            expected="the split's ids to be the dataset's",
        )
    return _by_fold(kept, split, source.fold)


def _by_fold(records: list[Record], split: Split, fold: int | None) -> tuple[list[Record], list[Record]]:
    if fold is None:
        return records, []
    tested = set(split.test(fold))
    row_ids = {r.id: row.id for r in records if (row := split.row(r.id)) is not None}
    return (
        [r for r in records if row_ids[r.id] not in tested],
        [r for r in records if row_ids[r.id] in tested],
    )


@dataclass(frozen=True)
class Arrays:
    """Prepared cases: ``images`` uint8 N×S×S, ``masks`` bool N×S×S, ``has_mask`` bool N, ``labels`` int64 N."""

    images: NDArray[np.uint8]
    masks: BoolArray
    has_mask: BoolArray
    labels: NDArray[np.int64]
    source: NDArray[np.int64]
    """The number of each case's dataset in the recipe; one more for phantoms."""

    def __len__(self) -> int:
        return len(self.labels)


def prepare(
    records: Sequence[Record],
    preprocess: Preprocess,
    *,
    sources: Sequence[str] = (),
    phantoms: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> Arrays:
    """Read and preprocess records, then as many phantoms, into arrays (8 bits per pixel, to be flat in memory).

    ``sources`` are the names of the recipe's datasets, to number the cases by.
    """
    count, size = len(records) + phantoms, preprocess.size
    arrays = Arrays(
        np.zeros((count, size, size), np.uint8),
        np.zeros((count, size, size), np.bool_),
        np.zeros(count, np.bool_),
        np.full(count, UNKNOWN, np.int64),
        np.array([_number(r, sources) for r in records] + [len(sources)] * phantoms, np.int64),
    )
    cases = _cases(records, phantoms, seed, size)
    for index, (image, mask, label) in enumerate(
        track(cases, "Reading images", total=count, disable=not progress, transient=True)
    ):
        prepared, _ = preprocess.apply(image)
        arrays.images[index] = np.rint(prepared * 255)
        if mask is not None:
            arrays.has_mask[index] = True
            arrays.masks[index] = preprocess.apply_mask(mask)
        if label in CLASSES:
            arrays.labels[index] = CLASSES.index(label)
    return arrays


def _number(record: Record, sources: Sequence[str]) -> int:
    return sources.index(record.dataset) if record.dataset in sources else 0


def _cases(
    records: Sequence[Record], phantoms: int, seed: int, size: int
) -> Iterable[tuple[FloatArray, BoolArray | None, str | None]]:
    for record in records:
        sample = read_sample(record)
        yield sample.image, sample.mask, sample.label
    for phantom in phantoms_of(phantoms, seed, size):
        yield phantom.image.astype(np.float32) / np.float32(255), phantom.mask, phantom.label


def phantoms_of(count: int, seed: int, size: int) -> Iterator[Phantom]:
    """The simulated images that a recipe with this seed trains on."""
    for index in range(count):
        yield simulate(_PHANTOM_SEEDS * (seed + 1) + index, None, size)

"""A prediction table in memory: NumPy columns, and the clusters that its cases form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from senoscope.evaluation.columns import LOGITS, PROBABILITIES, Columns, as_floats, check, complete
from senoscope.schema import CLASSES, BoolArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.object_]

_NUMBERS = (
    "area_true",
    "area_pred",
    "intersection",
    "dice",
    "iou",
    "hd95",
    "nsd",
    "width",
    "height",
    "lesions",
)
_WORDS = ("id", "dataset", "patient", "group", "device", "birads", "marks")


@dataclass(frozen=True, kw_only=True)
class PredictionTable:
    """A prediction table as NumPy columns of length N; unknown numbers are NaN, unknown words ``None``.

    ``label`` holds indices into :data:`CLASSES`, −1 for unknown. ``probabilities`` and ``logits`` are N×3; a
    class that the system does not know has probability 0 and logit −inf, and a system that does not classify
    has NaN in both. ``test`` is false for validation rows. ``marks`` are JSON text (see ``marks``), ``overlay`` true,
    false or ``None``.
    """

    id: Words
    dataset: Words
    patient: Words
    group: Words
    label: Ints
    fold: Ints
    test: BoolArray
    probabilities: Floats
    logits: Floats
    has_mask: BoolArray
    area_true: Floats
    area_pred: Floats
    intersection: Floats
    dice: Floats
    iou: Floats
    hd95: Floats
    nsd: Floats
    width: Floats
    height: Floats
    device: Words
    birads: Words
    lesions: Floats
    marks: Words
    overlay: Words
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.id)

    def where(self, keep: BoolArray) -> PredictionTable:
        """The rows for which ``keep`` (bool N) is true."""
        names = [name for name in self.__dataclass_fields__ if name != "metadata"]
        return PredictionTable(**{name: getattr(self, name)[keep] for name in names}, metadata=self.metadata)

    @property
    def lesion(self) -> BoolArray:
        """Cases whose true mask is known and holds a lesion."""
        return np.asarray(self.has_mask & (self.area_true > 0))

    @property
    def clean(self) -> BoolArray:
        """Cases known to hold no lesion: an empty true mask, or the label normal where no mask is known."""
        normal = self.label == CLASSES.index("normal")
        return np.asarray(np.where(self.has_mask, self.area_true == 0, normal), dtype=bool)

    @property
    def stamps(self) -> tuple[str, ...]:
        """Warnings that every report of this table must show."""
        return tuple(str(stamp) for stamp in self.metadata.get("stamps", ()))

    @cached_property
    def cluster(self) -> Ints:
        """Cluster number of each row: cases that share a duplicate group or a patient hang together.

        The group decides where there is one, else the patient, else the case stands alone. Where both are
        known the clusters are the connected components, so that neither is ever torn apart.
        """
        edges: list[tuple[int, int]] = []
        first: dict[tuple[str, str, str], int] = {}
        for kind, words in (("case", self.id), ("patient", self.patient), ("group", self.group)):
            for row, (dataset, word) in enumerate(zip(self.dataset, words, strict=True)):
                if word is not None:
                    edges.append((row, first.setdefault((kind, dataset, word), row)))
        rows, others = np.array(edges, dtype=np.int64).reshape(-1, 2).T
        graph = coo_array((np.ones(len(rows)), (rows, others)), shape=(len(self), len(self)))
        return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def from_columns(columns: Columns, metadata: Mapping[str, Any], source: str) -> PredictionTable:
    """A table in memory from named lists; raises :class:`TableError` where it breaks a rule."""
    columns = complete(columns, source)
    check(columns, source)
    words = {name: np.array(columns[name], dtype=object) for name in (*_WORDS, "overlay")}
    numbers = _with_overlap({name: as_floats(columns, name)[:, 0] for name in _NUMBERS})
    probabilities, logits = as_floats(columns, *PROBABILITIES), as_floats(columns, *LOGITS)
    bare = np.isnan(logits).all(axis=1)
    with np.errstate(divide="ignore"):
        logits[bare] = np.log(probabilities[bare])
    logits[np.isnan(logits) & ~np.isnan(probabilities)] = -np.inf
    index = {name: code for code, name in enumerate(CLASSES)}
    fields: dict[str, Any] = {**words, **numbers}
    return PredictionTable(
        label=np.array([index.get(str(name), -1) for name in columns["label"]], dtype=np.int64),
        fold=np.array(columns["fold"], dtype=np.int64),
        test=np.array([split == "test" for split in columns["split"]], dtype=bool),
        has_mask=np.array(columns["has_mask"], dtype=bool),
        probabilities=probabilities,
        logits=logits,
        metadata=dict(metadata),
        **fields,
    )


def _with_overlap(numbers: dict[str, Floats]) -> dict[str, Floats]:
    """Dice and IoU from the areas, where another tool's table gives only those."""
    true, common = numbers["area_true"], numbers["intersection"]
    total = true + numbers["area_pred"]
    with np.errstate(invalid="ignore", divide="ignore"):
        counted = {"dice": 2 * common / total, "iou": common / (total - common)}
    for name, values in counted.items():
        numbers[name] = np.where(np.isnan(numbers[name]) & (true > 0), values, numbers[name])
    return numbers

"""Crops around findings, and of normal tissue, as a table with masks that everything else reads.

On a whole film shrunk to a network's size a finding is a few pixels wide. Here each finding gets a crop of its own,
with its contour made a mask; images without a finding give crops of tissue at seeded places, of the findings' sizes.
Crops keep their patient, group and fold, so no split made before can be crossed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from senoscope._files import atomic_path
from senoscope.data import info, load
from senoscope.data._windows import Window, around, findings, in_tissue, tissue
from senoscope.data.datasets.table import MANIFESTS, write_table
from senoscope.data.splits import Split, SplitRow, load_split, save_split
from senoscope.errors import DatasetError, UsageError
from senoscope.imaging.masks import components, mask_to_box
from senoscope.imaging.read import read_sample
from senoscope.schema import BoolArray, Record, Sample

__all__ = ["Cropped", "Rules", "crop_dataset", "crop_records"]

TABLE, SPLIT = MANIFESTS[0], "split.csv"
_NORMAL = "normal"
_SEVERITY = {"B": "benign", "M": "malignant"}
_PER_FINDING = ("abnormality", "severity")  # clinical values that list one part per finding: "CIRC;CALC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How to crop.

    ``margin`` is what stays free on every side of a finding, in units of its longer side; ``jitter`` (0..1) the
    share of it by which a crop is moved at random. ``size`` is the longer side of every crop in pixels; ``None``
    keeps the pixels as they are. ``normals`` crops are taken of an image without a finding. ``whole`` keeps whole
    images and only makes their masks.
    """

    margin: float = 0.5
    jitter: float = 0.5
    size: int | None = None
    normals: int = 1
    seed: int = 0
    whole: bool = False

    def __post_init__(self) -> None:
        wrong = {
            f"margin {self.margin}": not 0 <= self.margin <= 10,
            f"jitter {self.jitter}": not 0 <= self.jitter <= 1,
            f"size {self.size}": self.size is not None and not 32 <= self.size <= 4096,
            f"normals {self.normals}": not 0 <= self.normals <= 100,
        }
        found = [name for name, is_wrong in wrong.items() if is_wrong]
        if found:
            raise UsageError(
                ", ".join(found), expected="margin 0 to 10, jitter 0 to 1, size 32 to 4096, normals 0 to 100"
            )


@dataclass(frozen=True, slots=True)
class Cropped:
    """What was written: the crops as Records, the table, the split (if the dataset has one), and who was left out."""

    records: list[Record]
    table: Path
    split: Path | None
    skipped: dict[str, str] = field(default_factory=dict)  # id: reason


def crop_dataset(
    name: str, root: Path | None, out: Path, rules: Rules | None = None, *, progress: bool = False
) -> Cropped:
    """Crop a dataset by name; its frozen split, if it has one, is followed and carried over to the crops.

    Raises ``UsageError`` if ``out`` holds a table already, ``DatasetError`` if no image has a finding.
    """
    split = info(name).text("split")
    return crop_records(load(name, root), out, rules, load_split(split) if split else None, progress=progress)


def crop_records(
    records: Sequence[Record],
    out: Path,
    rules: Rules | None = None,
    split: Split | None = None,
    *,
    progress: bool = False,
) -> Cropped:
    """Crops of ``records`` below ``out``: ``images/``, ``masks/``, ``manifest.csv`` and, with ``split``, ``split.csv``.

    An image whose findings are not marked, or that the split dropped, is skipped, with the reason. A crop's mask holds
    every finding's part in it; its label is its own finding's. Crops are 8-bit gray. The same arguments write the
    same pixels.
    """
    rules = rules or Rules()
    if (out / TABLE).exists():
        raise UsageError(f"{out} holds a table already", expected="a new folder", fix="name another --out")
    writer = _Writer(out, rules, split)
    normal = []
    for record in track(records, "Findings", disable=not progress, transient=True):
        reason = writer.around_findings(record)
        if reason == _NORMAL:
            normal.append(record)
        elif reason:
            writer.skipped[record.id] = reason
    if not writer.shares:
        raise DatasetError(
            f"none of {len(records)} images has a finding with a mask or a box",
            expected="masks or boxes of the findings",
            fix="see what a dataset has with: senoscope datasets info NAME",
        )
    for record in track(normal, "Normal tissue", disable=not progress, transient=True):
        writer.of_tissue(record)
    return writer.close()


class _Writer:
    """Writes crops one by one and remembers the sizes of those around findings."""

    def __init__(self, out: Path, rules: Rules, split: Split | None) -> None:
        self.shares: list[float] = []  # sides of windows around findings, in longer sides of their images
        self.skipped: dict[str, str] = {}
        self._out, self._rules, self._split = out, rules, split
        self._records: list[Record] = []

    def around_findings(self, record: Record) -> str:
        """Write a crop per finding; or say why there is none."""
        row = self._split.row(record.id) if self._split else None
        if row is not None and row.fold is None:
            return "dropped by the split"
        if record.label == _NORMAL and record.masks == ():
            return _NORMAL
        sample = read_sample(record)
        found = findings(sample)
        if not found:
            return _NORMAL if record.label == _NORMAL else "no finding is marked in it"
        everything = np.logical_or.reduce(found)
        if self._rules.whole:
            self.shares.append(1.0)
            self._write(sample, _whole(sample), everything, record.id, {})
            return ""
        rng = self._stream(record)
        for number, mask in enumerate(found):
            window = around(mask, self._rules.margin, self._rules.jitter, rng)
            self.shares.append(max(window.width, window.height) / max(mask.shape))
            name = f"{record.id}-{number + 1}"
            self._write(sample, window, everything, name, _own(record, number, len(found)))
        return ""

    def of_tissue(self, record: Record) -> None:
        """Write crops of an image without a finding, of the sizes that findings' crops have."""
        sample = read_sample(record)
        empty = np.zeros(sample.image.shape, np.bool_)
        if self._rules.whole:
            self._write(sample, _whole(sample), empty, record.id, {})
            return
        rng, lit = self._stream(record), tissue(sample.image)
        for number in range(self._rules.normals):
            side = max(1, round(float(rng.choice(self.shares)) * max(empty.shape)))
            self._write(sample, in_tissue(lit, side, rng), empty, f"{record.id}-{number + 1}", {})

    def close(self) -> Cropped:
        """Write the table and the split."""
        write_table(self._records, self._out / TABLE)
        split = self._out / SPLIT if self._split else None
        if split:
            save_split(
                Split(
                    "split", tuple(_row(crop) for crop in self._records if crop.clinical["fold"] is not None)
                ),
                split,
            )
        return Cropped(self._records, self._out / TABLE, split, self.skipped)

    def _stream(self, record: Record) -> np.random.Generator:
        """Random numbers of this image alone, so that its crops do not depend on which others are at hand."""
        return np.random.default_rng([self._rules.seed, zlib.crc32(record.id.encode())])

    def _write(
        self, sample: Sample, window: Window, mask: BoolArray, name: str, own: Mapping[str, str]
    ) -> None:
        record = sample.record
        part, inside = Image.fromarray(window.cut(sample.image)), window.cut_mask(mask)
        scale = 1.0 if self._rules.size is None else self._rules.size / max(part.size)
        if scale != 1.0:
            size = (max(1, round(part.width * scale)), max(1, round(part.height * scale)))
            part = part.resize(size, Image.Resampling.BILINEAR)
            soft = np.asarray(
                Image.fromarray(inside.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
            )
            # A finding that shrinks to less than half a pixel keeps its fullest one: it is there, however small.
            inside = soft >= (min(0.5, float(soft.max())) if inside.any() else 0.5)
        file = f"{len(self._records) + 1:05d}-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}.png"
        _save(np.rint(np.clip(np.asarray(part), 0, 1) * 255).astype(np.uint8), self._out / "images" / file)
        masks: tuple[Path, ...] = ()
        if inside.any():
            masks = (self._out / "masks" / file,)
            _save(inside.astype(np.uint8) * np.uint8(255), masks[0])
        row = self._split.row(record.id) if self._split else None
        clinical: dict[str, str | float | None] = {**record.clinical, "parent": record.id, **own}
        if self._split:  # an owner's fold that the split corrects must not stand beside it
            clinical["fold"] = float(row.fold) if row and row.fold is not None else None
        crop = replace(
            record,
            id=name,
            dataset="table",
            image=self._out / "images" / file,
            label=_SEVERITY.get(own.get("severity", ""), record.label),
            masks=masks,
            boxes=tuple(box for each in components(inside) if (box := mask_to_box(each))),
            group=record.group or (None if record.patient else record.id),
            spacing=record.spacing and (record.spacing[0] / scale, record.spacing[1] / scale),
            clinical=clinical,
        )
        self._records.append(crop)


def _whole(sample: Sample) -> Window:
    return Window(0, 0, sample.image.shape[1], sample.image.shape[0])


def _own(record: Record, number: int, count: int) -> dict[str, str]:
    """What the record says of each finding, for one of them."""
    lists = {name: str(record.clinical.get(name) or "").split(";") for name in _PER_FINDING}
    return {name: parts[number] for name, parts in lists.items() if len(parts) == count and parts[number]}


def _row(crop: Record) -> SplitRow:
    fold = crop.clinical["fold"]
    return SplitRow(
        id=crop.id,
        dataset=crop.dataset,
        patient=crop.patient,
        group=crop.group,
        label=crop.label,
        fold=int(fold) if isinstance(fold, float) else None,
    )


def _save(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], path: Path) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")

"""From a dataset to a split frozen in a file, and from a split to its leaks: what ``senoscope split`` does."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from senoscope.data import load
from senoscope.data._folds import components
from senoscope.data.duplicates import Duplicates, find_duplicates
from senoscope.data.splits import Leak, Split, check_leaks, load_split, make_split, save_split
from senoscope.errors import TableError
from senoscope.schema import Record

__all__ = ["check", "decide", "freeze"]


def freeze(
    name: str,
    root: Path | None,
    folds: int,
    seed: int,
    out: Path,
    *,
    find: bool = True,
    progress: bool = False,
) -> Split:
    """Make a split of a dataset by name and write it to ``out``.

    With ``find``, near-duplicates are looked for and joined with the groups already known. Raises ``ImageError`` for
    an image that cannot be read, ``UsageError`` for more folds than there are clusters.
    """
    records = load(name, root)
    found = Duplicates((), len(records))
    if find:
        found = find_duplicates([record.image for record in records], progress=progress)
    split = decide(records, found, folds, seed, out.stem)
    save_split(split, out)
    return split


def decide(records: Sequence[Record], found: Duplicates, folds: int, seed: int, name: str = "split") -> Split:
    """Folds that keep patients and found pairs together, in the order of ``records``.

    Pictures found under two labels are dropped, since either label may be wrong; the note names the twin.
    """
    grouped = _grouped(records, found)
    twins: dict[str, list[str]] = {}
    for pair in found.pairs:
        one, two = grouped[pair.first], grouped[pair.second]
        if one.label and two.label and one.label != two.label:
            twins.setdefault(one.id, []).append(two.id)
            twins.setdefault(two.id, []).append(one.id)
    # The split is made of those kept; then everybody's row is written, the dropped with their reason.
    kept = make_split([record for record in grouped if record.id not in twins], folds, seed, name=name)
    everyone = make_split(grouped, folds, seed, name=name)
    rows = []
    for row in everyone.rows:
        if row.id in twins:
            why = f"same picture as {' and '.join(twins[row.id])} under another label: the label is unknown"
            rows.append(replace(row, fold=None, decision="drop", note=why))
        else:
            rows.append(replace(row, fold=kept.fold_of(row.id)))
    return Split(name, tuple(rows))


def check(name_or_path: str, dataset: str | None, root: Path | None = None) -> tuple[Split, list[Leak]]:
    """A split and its leaks, against the patients and groups of ``dataset`` if one is named.

    Raises ``TableError`` if the split knows none of the dataset's images: then nothing would be checked.
    """
    split = load_split(name_or_path)
    records = load(dataset, root) if dataset else []
    if records and not any(split.row(record.id) for record in records):
        raise TableError(
            f"{split.name} knows none of the {len(records)} images of {dataset}",
            expected=f"ids such as {records[0].id}",
            fix="name the dataset that the split was made for",
        )
    return split, check_leaks(split, records)


def _grouped(records: Sequence[Record], found: Duplicates) -> list[Record]:
    """Records whose group joins what was known with what was found, numbered in order."""
    keys: list[list[Hashable]] = [[(r.dataset, r.group)] if r.group else [] for r in records]
    for number, pair in enumerate(found.pairs):
        keys[pair.first].append(number)
        keys[pair.second].append(number)
    grouped = list(records)
    clusters = [cluster for cluster in components(keys) if len(cluster) > 1]
    for number, cluster in enumerate(clusters, start=1):
        for i in cluster:
            grouped[i] = replace(records[i], group=f"{records[i].dataset}:g{number:03d}")
    return grouped

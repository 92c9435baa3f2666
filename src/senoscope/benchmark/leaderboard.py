"""From the results of a benchmark to its leaderboard: one entry per system, dataset, protocol and track."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from senoscope import models
from senoscope.benchmark.collapse import collapses
from senoscope.benchmark.expected import all_folds, check_splits
from senoscope.benchmark.figures import FIGURES, LOWER, Strata, measure
from senoscope.benchmark.jobs import TRACKS
from senoscope.benchmark.protocol import load_protocol
from senoscope.benchmark.protocol import names as protocol_names
from senoscope.benchmark.results import Result, load_result, pooled, result_files
from senoscope.benchmark.significance import TESTED, Against, Tests, against_best, best_of
from senoscope.errors import TableError, UsageError
from senoscope.evaluation.bootstrap import Interval


class Key(NamedTuple):
    """What an entry is about."""

    track: str
    dataset: str
    protocol: str
    system: str
    variant: str = ""

    @property
    def label(self) -> str:
        """The system, and the variant of it."""
        return f"{self.system}+{self.variant}" if self.variant else self.system


@dataclass(frozen=True)
class Entry:
    """One system by one protocol on one dataset.

    ``folds`` are those that every used seed has, of ``of_folds``; ``left_out`` says which seeds are incomplete
    and not used. ``start`` is what training started from, the names of weight files or random. ``ranked`` entries
    have ``ranks`` and may be the best (see :func:`_placed`). ``tests`` compare with the best, paired on the cases
    that both tested.
    """

    key: Key
    honest: bool
    stamps: tuple[str, ...]
    folds: tuple[int, ...]
    of_folds: int
    seeds: tuple[int, ...]
    left_out: tuple[str, ...]
    figures: dict[str, Interval]
    strata: Strata
    collapsed: tuple[str, ...]
    image_size: int
    start: str
    epochs: str
    machine: str
    split_hash: str
    ranked: bool = False
    ranks: dict[str, int] = field(default_factory=dict)
    tests: dict[str, Against] = field(default_factory=dict)
    tables: Tests = field(default=(), repr=False)
    """Test rows of each seed, all folds pooled."""

    @property
    def complete(self) -> bool:
        """Whether every fold was tested."""
        return len(self.folds) == self.of_folds

    @property
    def tested(self) -> str:
        """How many folds were tested, in words: ``2 of 5``."""
        return f"{len(self.folds)} of {self.of_folds}"


def read_results(results: Path) -> dict[Path, Result]:
    """Every result below a folder by its path, checked.

    Raises ``TableError`` naming the file for a result of another split than today's, of something that is not known,
    or of a job that another file is the result of; ``UsageError`` if there is none at all.
    """
    found = {path: load_result(path) for path in result_files(results)}
    if not found:
        raise UsageError(
            f"there is no result below {results}",
            expected="tables written by 'senoscope benchmark run'",
            fix="run the benchmark first, or name its folder with --results",
        )
    known = {"track": TRACKS, "protocol": protocol_names(), "system": models.names()}
    seen: dict[object, Path] = {}
    for path, result in found.items():
        job = result.job
        for what, names in known.items():
            if getattr(job, what) not in names:
                raise TableError(f"{path} is of the {what} '{getattr(job, what)}', which is not known here")
        if job in seen:
            raise TableError(
                f"{seen[job]} and {path} are both the result of {job}",
                expected="one file per job",
                fix="remove one of them",
            )
        seen[job] = path
    check_splits(found)
    return found


def make_entries(results: Iterable[Result]) -> list[Entry]:
    """The entries of all results, by dataset, track and protocol, each with its place in its table."""
    groups: dict[Key, list[Result]] = defaultdict(list)
    for result in results:
        job = result.job
        groups[Key(job.track, job.dataset, job.protocol, job.system, job.variant)].append(result)
    tables: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    order = {name: number for number, name in enumerate(protocol_names())}
    for key in sorted(groups, key=lambda k: (k.dataset, k.track, order[k.protocol], k.system, k.variant)):
        tables[key[:3]].append(_entry(key, groups[key]))
    return [entry for table in tables.values() for entry in (_placed(table) if table[0].honest else table)]


def _entry(key: Key, results: Sequence[Result]) -> Entry:
    """One entry: the seeds with the most folds are averaged, others wait until they have as many."""
    protocol = load_protocol(key.protocol)
    by_seed: dict[int, list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda r: (r.job.seed, r.job.fold)):
        by_seed[result.job.seed].append(result)
    folds = {seed: tuple(r.job.fold for r in members) for seed, members in by_seed.items()}
    # The fullest set of folds; of equally full ones that of most seeds, then the first.
    counts = Counter(folds.values())
    chosen = min(counts, key=lambda held: (-len(held), -counts[held], held))
    used = [seed for seed, held in folds.items() if held == chosen]
    total = len(all_folds(key.protocol, key.dataset))
    whole = [pooled(by_seed[seed]) for seed in used]
    measured = measure(whole)
    members = [result for seed in used for result in by_seed[seed]]
    first = members[0]
    return Entry(
        key=key,
        honest=protocol.honest,
        stamps=tuple(dict.fromkeys(stamp for table in whole for stamp in table.stamps)),
        folds=chosen,
        of_folds=total,
        seeds=tuple(used),
        left_out=tuple(
            f"seed {s}: {len(held)} of {total} folds" for s, held in folds.items() if s not in used
        ),
        figures=measured.figures,
        strata=measured.strata,
        collapsed=collapses(members),
        image_size=_image_size(key, first),
        start=", ".join(first.manifest.get("weights", {}).values()) or "random weights",
        epochs=_span([result.manifest.get("epochs") for result in members]),
        machine=", ".join(sorted({_machine(result) for result in members})),
        split_hash=str(first.table.metadata.get("split_hash")),
        tables=tuple(table.where(table.test) for table in whole),
    )


def _placed(table: Sequence[Entry]) -> list[Entry]:
    """The entries of one table with ranks and tests.

    Ranked are systems with their own settings (no variants) and without a collapsed training, which outlines nothing
    and so is never wrong on a normal image, that tested the same folds: the fullest set that two of them share.
    """
    apart = [entry for entry in table if not entry.key.variant and not entry.collapsed]
    counts = Counter(entry.folds for entry in apart)
    fullest = min(counts, key=lambda held: (counts[held] < 2, -len(held), -counts[held], held), default=())
    ranked = {entry.key: entry for entry in apart if entry.folds == fullest}
    ranks: dict[str, dict[str, int]] = defaultdict(dict)
    tests: dict[str, dict[str, Against]] = defaultdict(dict)
    for figure in FIGURES:
        values = _values(ranked.values(), figure)
        if len(values) < 2:
            continue  # nobody is the best of one
        best = best_of(values, figure)
        sign = 1 if figure in LOWER else -1
        for name, value in values.items():
            ranks[name][figure] = 1 + sum(sign * other < sign * value for other in values.values())
        if figure in TESTED:
            holding = {entry.key.label: entry.tables for entry in table if figure in entry.figures}
            for name, against in against_best(holding, best, figure).items():
                tests[name][figure] = against
    return [
        replace(
            entry,
            ranked=entry.key in ranked,
            ranks=ranks[entry.key.label],
            tests=tests[entry.key.label],
        )
        for entry in table
    ]


def _values(entries: Iterable[Entry], figure: str) -> dict[str, float]:
    found = {entry.key.label: entry.figures[figure]["value"] for entry in entries if figure in entry.figures}
    return {name: value for name, value in found.items() if value is not None}


def _image_size(key: Key, result: Result) -> int:
    """Side in pixels, of the recipe; the track's where another setting did not change it."""
    recipe = result.manifest.get("recipe", {})
    return int(recipe.get("preprocess", {}).get("size") or TRACKS[key.track].size(key.system))


def _span(values: Sequence[object]) -> str:
    known = sorted({int(str(value)) for value in values if value is not None})
    if not known:
        return "unknown"
    return str(known[0]) if len(known) == 1 else f"{known[0]}–{known[-1]}"


def _machine(result: Result) -> str:
    machine = result.manifest.get("machine")
    if not isinstance(machine, dict):
        return "unknown"
    return f"{machine.get('cores')}-core {str(machine.get('processor')).replace('_', '-')} CPU"

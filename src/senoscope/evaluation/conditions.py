"""Conditions to measure under (clean, corrupted, attacked) and one prediction table for each.

A table is written when its condition is finished, so that a killed measurement goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from senoscope import __version__
from senoscope.data.identity import cases_hash
from senoscope.errors import SenoscopeError, TableError, UsageError
from senoscope.evaluation import corruptions
from senoscope.evaluation.cases import Row, read_table, write_table
from senoscope.evaluation.predict import Progress
from senoscope.evaluation.table import PredictionTable
from senoscope.evaluation.targets import Target
from senoscope.imaging.read import read_sample
from senoscope.schema import Record, Sample

TABLES = "tables"


class Condition(NamedTuple):
    """What is done to the images: a corruption at a severity, an attack of ``level``/255, or nothing."""

    name: str
    level: int = 0
    attack: bool = False

    @property
    def key(self) -> str:
        """Name and level, as files are called."""
        return f"{self.name}-{self.level}" if self.level else self.name

    @property
    def plain(self) -> bool:
        """Whether this is no corruption: clean, or an attack."""
        return self.attack or not self.level


CLEAN = Condition("clean")

Tables = dict[Condition, PredictionTable]
RowMaker = Callable[[Condition, Sample], Row]
Failures = list[tuple[str, str]]


def plan(names: Sequence[str], severities: Sequence[int]) -> list[Condition]:
    """The conditions to measure, clean first. Raises ``UsageError`` for wrong names and severities."""
    wrong = [level for level in severities if not 1 <= level <= corruptions.SEVERITIES]
    if wrong or not severities:
        raise UsageError(
            f"the severities {', '.join(map(str, severities)) or 'are none'}",
            expected=f"some of 1 to {corruptions.SEVERITIES}",
        )
    planned = [CLEAN]
    for name in dict.fromkeys(names or corruptions.names()):
        levels = len(corruptions.find(name).amounts)
        planned += [Condition(name, level) for level in sorted({min(level, levels) for level in severities})]
    return planned


def measure(
    target: Target,
    planned: Sequence[Condition],
    folder: Path,
    make: RowMaker,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tables:
    """One table per condition, from ``folder/tables`` where it is finished, else made row by row and written there.

    Only one image is in memory at a time. An image that cannot be analysed is left out and listed in the metadata.
    """
    tables: Tables = {}
    count = len(target.records)
    for done, condition in enumerate(planned):
        path = folder / TABLES / f"{condition.key}.parquet"
        token = _token(target, condition, seed)

        def tick(cases: int, before: int = done * count) -> None:
            if progress is not None:
                progress(before + cases, len(planned) * count)

        if not path.is_file():
            _write(target, condition, path, token, make, tick)
        tables[condition] = _kept(path, token)
        tick(count)
    return tables


def failures_of(tables: Tables) -> Failures:
    """(Condition and case, reason) of the images that could not be analysed."""
    return [
        (f"{condition.key} {case}", reason)
        for condition, table in tables.items()
        for case, reason in table.metadata["failures"]
    ]


def _write(
    target: Target,
    condition: Condition,
    path: Path,
    token: str,
    make: RowMaker,
    tick: Callable[[int], None],
) -> None:
    rows: list[Row] = []
    failures: Failures = []
    for number, record in enumerate(target.records, 1):
        with _listed(record, failures):
            rows.append(make(condition, read_sample(record)))
        tick(number)
    if not rows:
        reason = f": {failures[0][0]}: {failures[0][1]}" if failures else ""
        raise TableError(f"none of {len(target.records)} cases could be analysed ({condition.key}){reason}")
    metadata = {
        "system": target.title,
        "weights": target.weights,
        "split": target.split,
        "split_hash": cases_hash(target.records),
        "stamps": list(target.stamps),
        "condition": condition.key,
        "token": token,
        "failures": failures,
    }
    write_table(rows, path, metadata)


@contextmanager
def _listed(record: Record, failures: Failures) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise  # about the whole measurement
    except (SenoscopeError, OSError, ValueError) as error:
        failures.append((record.id, str(error)))


def _kept(path: Path, token: str) -> PredictionTable:
    table = read_table(path)
    if table.metadata.get("token") != token:
        raise UsageError(
            f"{path.parent.parent} holds another measurement ({path.name})",
            expected="the same weights, cases, seed and version of Senoscope",
            fix="name another --out, or remove the folder",
        )
    return table


def _token(target: Target, condition: Condition, seed: int) -> str:
    """What a kept table depends on, as one SHA-256."""
    amount = None if condition.plain else corruptions.find(condition.name).amount(condition.level)
    facts = [target.weights, cases_hash(target.records), seed, condition.key, amount, __version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

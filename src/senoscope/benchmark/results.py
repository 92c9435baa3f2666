"""Results on disk: one small Parquet file per job, its prediction table with the manifest in its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from senoscope.benchmark.jobs import Job
from senoscope.errors import TableError
from senoscope.evaluation.cases import read_table
from senoscope.evaluation.runs import pool
from senoscope.evaluation.table import PredictionTable
from senoscope.evaluation.tablefiles import read_parquet, write_parquet

MANIFEST = "benchmark"
"""The key of a result's manifest in its table's metadata."""

EXTERNAL = "external"
"""The folder of tables that were trained elsewhere, and the key in their metadata that says what they are."""


@dataclass(frozen=True)
class Result:
    """One finished job: its table, and how it was made (recipe, versions, data and split hashes, seconds)."""

    job: Job
    table: PredictionTable
    manifest: dict[str, Any]


def path_of(results: Path, job: Job) -> Path:
    """The file of a job's result."""
    return results / job.folder / f"{job.stem}.parquet"


def keep(
    table: Path, job: Job, manifest: dict[str, Any], results: Path, stamps: tuple[str, ...] = ()
) -> Path:
    """Write a run's prediction table as the job's result, whole or not at all, and return its path.

    ``stamps`` are the protocol's warnings, beside those that the table has already.
    """
    columns, metadata = read_parquet(table)
    out = path_of(results, job)
    note = {
        **metadata,
        "stamps": [*stamps, *metadata.get("stamps", ())],
        MANIFEST: {"job": asdict(job), **manifest},
    }
    write_parquet(columns, out, note)
    return out


def load_result(path: Path) -> Result:
    """Read one result. Raises ``TableError`` for a table that is none of the benchmark's."""
    table = read_table(path)
    try:
        manifest = dict(table.metadata[MANIFEST])
        return Result(Job(**manifest["job"]), table, manifest)
    except (KeyError, TypeError) as error:
        raise TableError(
            f"{path} says not which job it is the result of",
            expected="a file written by 'senoscope benchmark run'",
            fix="score another tool's predictions with: senoscope score",
        ) from error


def result_files(results: Path) -> list[Path]:
    """The files of all results below a folder, by path; :data:`EXTERNAL` tables are none."""
    return sorted(
        path for path in results.rglob("*.parquet") if path.relative_to(results).parts[0] != EXTERNAL
    )


def load_results(results: Path) -> Iterator[Result]:
    """Every result below a folder, in the order of their paths."""
    for path in result_files(results):
        yield load_result(path)


def pooled(results: list[Result], expected_hash: str | None = None) -> PredictionTable:
    """The folds of one system, protocol and seed as one out-of-fold table.

    Raises ``TableError`` if they were made on different splits, or on another than ``expected_hash``.
    """
    hashes = {str(result.table.metadata.get("split_hash")) for result in results}
    wanted = {expected_hash} if expected_hash else hashes
    if len(hashes) > 1 or hashes != wanted:
        found = ", ".join(sorted(text[:12] for text in hashes))
        raise TableError(
            f"{results[0].job.system}: results of the split {found}",
            expected=f"all of one split: {', '.join(sorted(text[:12] for text in wanted if text))}",
            fix="remove the results made on another split, and run again",
        )
    return pool(result.table for result in results)

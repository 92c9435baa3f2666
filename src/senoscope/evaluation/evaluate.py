"""From what a user names (runs, a bundle, prediction tables) to a summary and a report on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from senoscope import data as datasets
from senoscope.data.identity import own_datasets
from senoscope.errors import SenoscopeError, UsageError
from senoscope.evaluation.cases import read_table, write_table
from senoscope.evaluation.predict import Progress, kept_records, predict_dataset
from senoscope.evaluation.report import write_report
from senoscope.evaluation.runs import pool, predict_run
from senoscope.evaluation.summary import Summary, summarise, write_summary
from senoscope.evaluation.table import PredictionTable
from senoscope.inference.bundle import find_bundle, load_bundle
from senoscope.schema import Record

TABLE = "predictions.parquet"
REPORT = "report.html"
SUMMARY = "summary.json"
_MANIFEST = "manifest.json"  # what a training run's folder has

Failures = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured and where it lies; ``failures`` are (id, reason) of cases that could not be analysed."""

    summary: Summary
    folder: Path
    failures: Failures


def evaluate(
    *targets: str | Path,
    data: str | None = None,
    root: Path | None = None,
    out: Path | None = None,
    allow_in_sample: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure prediction tables, training runs, or a bundle, and write ``summary.json`` and ``report.html``.

    Several targets are the folds of one system, pooled. A run is predicted first unless its ``predictions.parquet`` is
    there; with ``data``, on that dataset instead of its own test fold (a user's own data are predicted anew each time).
    A bundle needs ``data``. ``out`` is the folder written to, by default beside the table. ``data`` also gives the
    report's pictures; without it, datasets in the shared data folder do. Raises :class:`UsageError` when a target is
    none of these.
    """
    failures: Failures = []
    paths = [_table_of(target, data, root, out, allow_in_sample, progress, failures) for target in targets]
    if not paths:
        raise UsageError("nothing to evaluate is named", expected="a table, a run or a bundle")
    table = read_table(paths[0]) if len(paths) == 1 else pool(paths)
    folder = out or _default_folder(paths)
    summary = summarise(table)
    write_summary(summary, folder / SUMMARY)
    records = _records(table, data, root)
    write_report(summary, table, folder / REPORT, records=records, folders=[path.parent for path in paths])
    return Evaluation(summary, folder, failures)


def _table_of(
    target: str | Path,
    data: str | None,
    root: Path | None,
    out: Path | None,
    allow_in_sample: bool,
    progress: Progress | None,
    failures: Failures,
) -> Path:
    """The prediction table of one target, made first if it must be."""
    path = Path(target)
    if path.suffix.lower() in {".parquet", ".csv"}:
        return path
    if (path / _MANIFEST).is_file():
        made = _made(path, data, root)
        return made or predict_run(path, data=data, root=root, progress=progress is not None)
    if (path / TABLE).is_file() and data is None:
        return path / TABLE
    if path.exists() and not path.is_dir():
        raise UsageError(
            f"'{target}' is no table, run or bundle", expected="a .parquet or .csv table, or a folder"
        )
    find_bundle(target)  # says what is near when there is none
    if data is None:
        raise UsageError(
            f"the bundle '{target}' is measured on a dataset, and none is named",
            expected="one of " + ", ".join(datasets.names()),
            fix="add --data, for example --data busi",
        )
    return _measure_bundle(target, data, root, out, allow_in_sample, progress, failures)


def _measure_bundle(
    target: str | Path,
    data: str,
    root: Path | None,
    out: Path | None,
    allow_in_sample: bool,
    progress: Progress | None,
    failures: Failures,
) -> Path:
    bundle = load_bundle(target)
    folder = out or Path(re.sub(r"[^\w.-]+", "-", f"evaluation-{bundle.card.name}-{data}"))
    found = predict_dataset(
        bundle, kept_records(data, root), progress, allow_in_sample=allow_in_sample, masks=folder
    )
    write_table(found.rows, folder / TABLE, found.metadata)
    failures += found.failures
    return folder / TABLE


def _made(run: Path, data: str | None, root: Path | None) -> Path | None:
    """The table of a run's answers, if it is made and can be no other's: a user's own data change under one name."""
    if data is None or (root is None and _tests_on(run, data)):
        table = run / TABLE
    elif data in own_datasets():
        return None
    else:
        table = run / f"predictions-{data}.parquet"
    return table if table.is_file() else None


def _tests_on(run: Path, data: str) -> bool:
    """Whether ``data`` is where the run's own test fold lies, so that naming it asks for nothing else."""
    if not (run / TABLE).is_file():
        return False
    table = read_table(run / TABLE)
    return {str(name) for name in table.dataset[table.test]} == {data}


def _default_folder(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        return paths[0].parent.parent / "evaluation"
    return paths[0].parent / ("evaluation" if paths[0].name == TABLE else f"{paths[0].stem}-evaluation")


def _records(table: PredictionTable, data: str | None, root: Path | None) -> Sequence[Record]:
    """Records for the pictures: of the named dataset, which must load, else of those that happen to be at hand."""
    if data is not None:
        return datasets.load(data, root)
    records: list[Record] = []
    for name in sorted({str(name) for name in table.dataset} & set(datasets.names())):
        try:
            records += datasets.load(name) if datasets.is_found(name) else []
        except SenoscopeError:
            continue  # pictures are a comfort; the report says which are missing
    return records

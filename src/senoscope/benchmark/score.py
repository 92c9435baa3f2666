"""Scoring anyone's predictions under one of our protocols: the same cases, the same figures, the same report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from senoscope import data as datasets
from senoscope._files import write_text
from senoscope.benchmark.protocol import ProtocolCases, load_protocol
from senoscope.benchmark.submission import Probabilities, Problems, Submission, read_submission
from senoscope.errors import ImageError, MaskError, TableError, UsageError
from senoscope.evaluation.cases import Row, case_row, from_rows, write_table
from senoscope.evaluation.columns import PROBABILITIES
from senoscope.evaluation.evaluate import REPORT, SUMMARY, TABLE, Evaluation
from senoscope.evaluation.maskfiles import save_mask
from senoscope.evaluation.report import render
from senoscope.evaluation.summary import summarise, write_summary
from senoscope.imaging.maskfile import read_mask
from senoscope.imaging.read import read_sample
from senoscope.schema import BoolArray, Record

ELSEWHERE = (
    "The predictions were made by another tool. That its training saw none of the tested cases is its author's word; "
    "nothing here can check it."
)

Progress = Callable[[int, int], None]


def score(
    predictions: Path,
    data: str,
    *,
    protocol: str = "grouped-5fold",
    fold: int | None = None,
    masks: Path | None = None,
    root: Path | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a table of predictions of exactly the cases that ``protocol`` tests in ``data`` (or in one ``fold``).

    Labels and true masks are the dataset's. ``masks`` is a folder with one PNG per case, named by its id (with or
    without the ``dataset:`` prefix), in the original image's size. Writes ``predictions.parquet``, ``summary.json``
    and ``report.html`` to ``out``, by default beside the table.

    Raises :class:`TableError` with every problem of rows and masks at once, and for a table whose provenance names
    another split; :class:`UsageError` for an unknown dataset, protocol or fold. Nothing is written then.
    """
    cases = load_protocol(protocol).cases(data, root)
    folds = {record.id: number for number, records in cases.test.items() for record in records}
    if fold is not None and fold not in cases.test:
        raise UsageError(f"{protocol} has no fold {fold}", expected=f"one of {sorted(cases.test)}")
    if masks is not None and not masks.is_dir():
        raise UsageError(
            f"{masks} is no folder", expected="a folder with one PNG per tested case, named by its id"
        )
    tested = [r for number, part in sorted(cases.test.items()) if fold in (None, number) for r in part]
    problems = Problems()
    known = datasets.load(data, root)
    found = read_submission(predictions, tested, known, problems, classes=masks is None)
    _same_split(found, cases, predictions.name)
    rows: list[Row] = []
    for done, record in enumerate(tested, 1):
        truth, mask = _masks(record, masks, problems)
        rows.append(_row(record, truth, mask, found.probabilities.get(record.id), folds[record.id]))
        if progress is not None and masks is not None:
            progress(done, len(tested))
    problems.refuse(predictions.name)
    folder = out or predictions.parent / f"{predictions.stem}-score"
    metadata = _metadata(predictions, found.metadata, cases, protocol, fold)
    return _written(rows, metadata, tested, masks, folder)


def _same_split(found: Submission, cases: ProtocolCases, source: str) -> None:
    told = found.metadata.get("split_hash")
    if told and told != cases.split_hash:
        raise TableError(
            f"{source} was made under the split {found.metadata.get('split')} ({str(told)[:12]}…)",
            expected=f"predictions under {cases.split_name} ({cases.split_hash[:12]}…)",
            fix="predict again with models trained under this protocol's split",
        )


def _masks(
    record: Record, folder: Path | None, problems: Problems
) -> tuple[BoolArray | None, BoolArray | None]:
    """The true and the predicted mask, where a folder of masks is given."""
    if folder is None:
        return None, None
    path = _mask_file(record, folder)
    if path is None:
        problems.ids["tested cases without a mask file"].append(record.id)
        return None, None
    sample = read_sample(record)
    try:
        shape = sample.image.shape[0], sample.image.shape[1]
        return sample.mask, read_mask([path], shape)
    except (MaskError, ImageError) as error:
        problems.ids["mask files that do not fit"].append(f"{record.id} ({error.found})")
        return None, None


def _mask_file(record: Record, folder: Path) -> Path | None:
    for name in (record.id, record.id.removeprefix(f"{record.dataset}:")):
        path = folder / f"{name}.png"
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):  # ids never lead elsewhere
            return path
    return None


def _row(
    record: Record,
    truth: BoolArray | None,
    mask: BoolArray | None,
    probabilities: Probabilities | None,
    fold: int,
) -> Row:
    row = case_row(record, truth, mask, None, fold=fold)
    return row | dict(zip(PROBABILITIES, probabilities or [None] * len(PROBABILITIES), strict=True))


def _metadata(
    source: Path, own: Mapping[str, Any], cases: ProtocolCases, protocol: str, fold: int | None
) -> dict[str, Any]:
    stamps = dict.fromkeys((*cases.stamps, *(str(stamp) for stamp in own.get("stamps", ()))))
    part = "" if fold is None else f", fold {fold} only"
    return {
        "system": own.get("system") or source.stem,
        "split": cases.split_name,
        "split_hash": cases.split_hash,
        "protocol": protocol,
        "stamps": list(stamps),
        "notes": [ELSEWHERE, f"Protocol {protocol}{part}."],
    }


def _written(
    rows: list[Row], metadata: dict[str, Any], tested: list[Record], masks: Path | None, folder: Path
) -> Evaluation:
    table = from_rows(rows, metadata)
    summary = summarise(table)
    for row, record in zip(rows, tested, strict=True):
        path = _mask_file(record, masks) if masks else None
        if path is not None:  # read again, so that no more than one mask is ever held
            mask = read_mask([path], (int(row["height"] or 0), int(row["width"] or 0)))
            save_mask(folder, record.dataset, record.id, mask)
    page = render(summary, table, records=tested, folders=[folder])
    write_table(rows, folder / TABLE, metadata)
    write_summary(summary, folder / SUMMARY)
    write_text(folder / REPORT, page)
    return Evaluation(summary, folder, [])

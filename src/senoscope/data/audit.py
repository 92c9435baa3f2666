"""Looking at a dataset as it is: duplicates, label conflicts, patient crossings, burnt-in text, odd masks and images.

The result is a table (``table()``, JSON, CSV) and one self-contained HTML page with the pictures side by side. The
page holds pictures of patients: it goes to the user's folder and nowhere else.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from senoscope._files import write_text
from senoscope.data import info, load
from senoscope.data._audit_checks import Facts, Issue, image_issues, look, outlier_issues
from senoscope.data._audit_page import render
from senoscope.data._split_file import guarded
from senoscope.data.duplicates import Duplicates, Rules, find_duplicates
from senoscope.data.overlays import write_text_column
from senoscope.data.splits import check_leaks, load_split
from senoscope.errors import UsageError
from senoscope.schema import Record

__all__ = ["CHECKS", "AuditResult", "Facts", "Issue", "audit"]

CHECKS: Mapping[str, str] = {
    "unreadable": "The image cannot be read or analysed",
    "duplicates": "One picture twice: the same, mirrored, resized, recompressed or cropped",
    "label conflicts": "One picture under two labels",
    "patient crossings": "One picture under two patients",
    "split leaks": "A patient or duplicate group in several folds of the frozen split",
    "burnt-in text": "Text in the pixels: may identify a patient, may tell a network the answer",
    "colour": "Coloured pixels: Doppler, elastography, drawings",
    "mask unreadable": "The mask cannot be used: another size, values between, damaged",
    "mask missing": "No mask is known",
    "mask empty": "A lesion's mask is empty",
    "mask on normal": "The mask of a normal image is not empty",
    "mask in pieces": "The mask has specks beside its lesions",
    "mask at border": "The lesion touches the image's border: it may be cut off",
    "odd size": "The image's size is far from the dataset's",
    "odd brightness": "The image's brightness or contrast is far from the dataset's",
}
"""Every check and what its issues mean, in the order of the page."""


@dataclass(frozen=True)
class AuditResult:
    """What an audit found. ``page`` is where the HTML page lies, ``None`` if none was asked for."""

    name: str
    count: int
    issues: tuple[Issue, ...]
    duplicates: Duplicates
    page: Path | None = None

    def of(self, check: str) -> tuple[Issue, ...]:
        """The issues of one check (a key of ``CHECKS``)."""
        return tuple(issue for issue in self.issues if issue.check == check)

    def table(self) -> list[dict[str, str | int]]:
        """One row per check: how many issues, how many images they touch, what they mean."""
        rows: list[dict[str, str | int]] = []
        for check, meaning in CHECKS.items():
            found = self.of(check)
            images = {id for issue in found for id in issue.ids}
            rows.append({"check": check, "issues": len(found), "images": len(images), "meaning": meaning})
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        sizes = Counter(len(group) for group in self.duplicates.groups)
        return {
            "dataset": self.name,
            "images": self.count,
            "summary": self.table(),
            "duplicate_groups": {
                "groups": len(self.duplicates.groups),
                "images": sum(len(group) for group in self.duplicates.groups),
                "pairs": len(self.duplicates.pairs),
                "sizes": {str(size): sizes[size] for size in sorted(sizes)},
            },
            "issues": [asdict(issue) for issue in self.issues],
        }


def audit(
    name_or_records: str | Sequence[Record],
    root: Path | str | None = None,
    out: Path | str | None = None,
    *,
    rules: Rules | None = None,
    progress: bool = True,
) -> AuditResult:
    """Audit a dataset by name, or any records.

    With ``out``, writes ``audit.html``, ``audit.json``, ``audit.csv`` and ``text.csv`` (which images hold burnt-in
    text, see ``overlays``) there. Unreadable files are issues, not errors. Raises ``UsageError`` or ``DatasetError``
    if there is nothing to audit.
    """
    if isinstance(name_or_records, str):
        name, records = name_or_records, load(name_or_records, root, group=False)
    else:
        records = list(name_or_records)
        name = ", ".join(dict.fromkeys(record.dataset for record in records))
    if not records:
        raise UsageError("there are no records to audit", expected="at least one image")
    facts = [
        look(record)
        for record in track(records, "Looking at images", console=Console(stderr=True), disable=not progress)
    ]
    seen = [fact for fact in facts if fact.small is not None]
    small = [fact.small for fact in seen if fact.small is not None]
    duplicates = find_duplicates(small, rules, progress=progress)
    issues = [issue for fact in facts for issue in image_issues(fact)]
    issues += _pair_issues(seen, duplicates)
    issues += _split_issues(name_or_records, seen, duplicates)
    issues += outlier_issues(seen)
    order = list(CHECKS)
    issues.sort(key=lambda issue: order.index(issue.check))  # stable: the dataset's order within a check
    result = AuditResult(name, len(records), tuple(issues), duplicates)
    return result if out is None else _written(result, facts, Path(out), progress)


def _pair_issues(seen: Sequence[Facts], duplicates: Duplicates) -> Iterator[Issue]:
    for pair in duplicates.pairs:
        one, two = seen[pair.first].record, seen[pair.second].record
        evidence = f"{pair.transform}, {pair.hamming} bits apart, correlation {pair.correlation:.3f}"
        ids = (one.id, two.id)
        yield Issue("duplicates", ids, evidence)
        if one.label and two.label and one.label != two.label:
            yield Issue("label conflicts", ids, f"{one.label} and {two.label}; {evidence}")
        if one.patient and two.patient and one.patient != two.patient:
            yield Issue("patient crossings", ids, f"patients {one.patient} and {two.patient}; {evidence}")


def _split_issues(
    name_or_records: str | Sequence[Record], seen: Sequence[Facts], duplicates: Duplicates
) -> Iterator[Issue]:
    """Leaks of the dataset's frozen split against the groups found just now."""
    split_name = info(name_or_records).text("split") if isinstance(name_or_records, str) else ""
    if not split_name:
        return
    group_of = {i: f"found {n + 1}" for n, group in enumerate(duplicates.groups) for i in group}
    records = [replace(fact.record, group=group_of.get(i)) for i, fact in enumerate(seen)]
    for leak in check_leaks(load_split(split_name), records):
        ids = tuple(id for side in leak.sides.values() for id in side)
        yield Issue("split leaks", ids, f"{split_name}: {leak}")


def _written(result: AuditResult, facts: Sequence[Facts], out: Path, progress: bool) -> AuditResult:
    page = out / "audit.html"
    write_text(page, render(result.as_dict(), CHECKS, {fact.record.id: fact for fact in facts}, progress))
    write_text(out / "audit.json", json.dumps(result.as_dict(), ensure_ascii=False, indent=2) + "\n")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("check", "ids", "detail"))
    writer.writerows(
        (issue.check, guarded(" | ".join(issue.ids)), guarded(issue.detail)) for issue in result.issues
    )
    write_text(out / "audit.csv", stream.getvalue())
    write_text_column(
        {fact.record.id: bool(fact.text) for fact in facts if fact.small is not None}, out / "text.csv"
    )
    return replace(result, page=page)

"""The leaderboard as one HTML page that works offline, by keyboard, and on a phone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from senoscope import __version__
from senoscope._files import write_text
from senoscope.benchmark import details
from senoscope.benchmark.external import External
from senoscope.benchmark.figures import FIGURES, LOWER
from senoscope.benchmark.leaderboard import Entry
from senoscope.benchmark.plots import charts
from senoscope.benchmark.protocol import load_protocol, names
from senoscope.benchmark.rows import Row, Table, make_tables
from senoscope.evaluation.bootstrap import Interval
from senoscope.schema import CLASSES, RESEARCH_USE

PAGE = "leaderboard.html"

Values = dict[str, Any]


class Column(NamedTuple):
    """A column of the table: ``minor`` ones are hidden on a phone until asked for."""

    head: str
    minor: bool = False
    number: bool = False
    figure: str = ""


_MINOR = {"balanced_accuracy", "iou", "ece", "false_positive_rate"}
COLUMNS = (
    Column("System"),
    Column("Dataset"),
    *(Column(head, minor=True) for head in ("Protocol", "Track", "Task", "Claimed", "Leaky replica")),
    *(Column(head, name in _MINOR, number=True, figure=name) for name, head in FIGURES.items()),
    Column("Cases", minor=True, number=True),
    Column("Folds", minor=True, number=True),
    Column("Parameters", number=True),
    Column("GMACs", minor=True, number=True),
    Column("ms", minor=True, number=True),
)


def write_page(
    path: Path,
    entries: Sequence[Entry],
    external: Sequence[External],
    *,
    speed: Mapping[str, Any] | None = None,
    pictures: bool = False,
) -> None:
    """Write the page; ``speed`` is the content of ``speed.json``.

    With ``pictures`` it shows images of the datasets at hand that many systems fail on; such a page may not be
    published, and says so. Raises ``MissingExtraError`` without Matplotlib.
    """
    write_text(path, render(entries, external, speed=speed, pictures=pictures))


def render(
    entries: Sequence[Entry],
    external: Sequence[External],
    *,
    speed: Mapping[str, Any] | None = None,
    pictures: bool = False,
) -> str:
    """The page's text."""
    tables = make_tables(entries, speed)
    rows = [(table, row) for table in tables for row in _ordered(table)]
    script = resources.files(__package__).joinpath("templates/leaderboard.js").read_text(encoding="utf-8")
    template = _environment().get_template("leaderboard.html.j2")
    return template.render(
        rows=[_row_values(table, row) for table, row in rows],
        columns=COLUMNS,
        figures=FIGURES,
        lower=LOWER,
        choices={
            "Dataset": sorted({table.dataset for table in tables}),
            "Protocol": [name for name in names() if any(table.protocol == name for table in tables)],
            "Task": sorted({str(row.system.facts["task"]) for _, row in rows}),
            "Track": sorted({table.track for table in tables}),
        },
        protocols=[load_protocol(name) for name in names()],
        missing=[(table, table.missing) for table in tables if table.missing],
        charts=[(table, drawn) for table in tables if (drawn := charts(table))],
        external=external,
        galleries=_galleries(entries) if pictures else {},
        pictures=pictures,
        class_names=CLASSES,
        frame=(details.WIDTH, details.HEIGHT),
        size_ticks=details.size_ticks(),
        machine=(speed or {}).get("machine"),
        research_use=RESEARCH_USE,
        version=__version__,
        script=Markup(script),  # noqa: S704 - our own file, which the page's policy names by its hash
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def _ordered(table: Table) -> list[Row]:
    """By AUC, then Dice, as far as a system has them; those that are not ranked last."""
    first = [*table.having("auc_benign_malignant"), *table.having("dice"), *table.rows]
    rows = {row.label: row for row in first}.values()
    return sorted(rows, key=lambda row: not (row.entry and row.entry.ranked))


def _row_values(table: Table, row: Row) -> Values:
    return {
        "row": row,
        "entry": row.entry,
        "table": table,
        "facts": row.system.facts,
        "details": details.details(row.entry) if row.entry else None,
        "values": {name: row.figure(name) for name in FIGURES},
        "marks": {name: row.mark(name) for name in FIGURES},
        "short": [(entry.key.protocol, _short(entry)) for entry in row.leaky],
    }


def _short(entry: Entry) -> str:
    """The figures of a replica that claims are made of."""
    shown = ("accuracy", "auc_benign_malignant", "dice")
    parts = [
        f"{FIGURES[name]} {_figure(entry.figures[name]['value'])}" for name in shown if name in entry.figures
    ]
    if not entry.complete:
        parts.append(f"{entry.tested} folds")
    return ", ".join(parts)


def _galleries(entries: Sequence[Entry]) -> Values:
    datasets = dict.fromkeys(entry.key.dataset for entry in entries if entry.honest)
    return {
        name: details.gallery(name, [e for e in entries if e.honest and e.key.dataset == name])
        for name in datasets
    }


def _environment() -> Environment:
    loader = ChoiceLoader(
        [
            PackageLoader("senoscope.benchmark", "templates"),
            PackageLoader("senoscope.evaluation", "templates"),
        ]
    )
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = _figure
    environment.filters["between"] = _between
    environment.filters["signed"] = _signed
    environment.filters["chance"] = _chance
    return environment


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _between(interval: Interval) -> str:
    if interval["low"] is None or interval["high"] is None:
        return "no interval"
    return f"{interval['low']:.3f}–{interval['high']:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _chance(p: float | None) -> str:
    """A p-value as reports print it."""
    if p is None:
        return "unknown"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"

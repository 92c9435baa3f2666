"""The leaderboard as Markdown: the same tables, no image, the same text for the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from senoscope._files import write_text
from senoscope.benchmark.external import External
from senoscope.benchmark.figures import FIGURES, LOWER
from senoscope.benchmark.jobs import TRACKS
from senoscope.benchmark.leaderboard import Entry
from senoscope.benchmark.protocol import load_protocol, names
from senoscope.benchmark.rows import BEST, TIED, Row, Table, make_tables
from senoscope.evaluation.bootstrap import Interval


class Part(NamedTuple):
    """One Markdown table: the figures of classes or of outlines, best first by the first of ``by``."""

    title: str
    by: str
    figures: tuple[str, ...]


PARTS = (
    Part("Classes", "auc_benign_malignant", ("accuracy", "balanced_accuracy", "auc_benign_malignant", "ece")),
    Part("Outlines", "dice", ("dice", "iou", "false_positive_rate")),
)
_LEAKY_FIGURES = {"Classes": ("accuracy", "auc_benign_malignant"), "Outlines": ("dice",)}


def write_markdown(
    path: Path,
    entries: Sequence[Entry],
    external: Sequence[External],
    *,
    speed: Mapping[str, Any] | None = None,
) -> None:
    """Write the page; ``speed`` is the content of ``speed.json``."""
    write_text(path, render(entries, external, speed=speed))


def render(
    entries: Sequence[Entry], external: Sequence[External], *, speed: Mapping[str, Any] | None = None
) -> str:
    """The page's text."""
    tables = make_tables(entries, speed)
    environment = Environment(  # noqa: S701 - Markdown, from catalogs and numbers; _cell guards the table
        loader=PackageLoader("senoscope.benchmark", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    rows = [row for table in tables for row in table.rows if row.entry]
    return environment.get_template("leaderboard.md.j2").render(
        tracks=[TRACKS[name] for name in dict.fromkeys(table.track for table in tables)],
        protocols=[load_protocol(name) for name in names()],
        sections=[_section(table) for table in tables],
        external=[_external(one) for one in external],
        figures=FIGURES,
        collapsed=sum(bool(row.entry and row.entry.collapsed) for row in rows),
        systems=len(rows),
    )


def _section(table: Table) -> dict[str, Any]:
    if not table.protocol:
        title = f"{table.dataset}, {table.track}: replicas of systems without an honest run yet"
    else:
        title = f"{table.dataset}, {table.protocol}, {table.track}"
    entry = next((row.entry for row in table.rows if row.entry), None)
    machines = sorted({row.entry.machine for row in table.rows if row.entry})
    facts = f"Split `{entry.split_hash[:12]}`; machine: {', '.join(machines)}." if entry else ""
    parts = [part for kind in PARTS if (part := _part(table, kind))]
    return {"title": title, "facts": facts, "missing": table.missing, "parts": parts}


def _part(table: Table, kind: Part) -> dict[str, Any] | None:
    if table.protocol:
        shown = {row.label: row for figure in (kind.by, *kind.figures) for row in table.having(figure)}
        rows = list(shown.values())
    else:
        rows = [row for row in table.rows if any(kind.by in entry.figures for entry in row.leaky)]
    if not rows:
        return None
    heads = [_head(name) for name in kind.figures]
    return {
        "title": kind.title,
        "heads": [
            "System", "Claimed", "Leaky replica", *heads, "n", "Folds", "px, epochs", "Parameters", "GMACs", "ms",
        ],
        "lines": [_line(row, kind) for row in rows],
    }  # fmt: skip


def _head(name: str) -> str:
    return FIGURES[name] + (" ↓" if name in LOWER else "")


def _line(row: Row, kind: Part) -> list[str]:
    entry = row.entry
    name = f"[{row.label}](reference/systems.md#{row.system.name})"
    other = " *other settings*" if row.variant else ""
    collapsed = f" **collapsed**: {'; '.join(entry.collapsed)}" if entry and entry.collapsed else ""
    folds = entry.tested if entry else "–"
    if entry and len(entry.seeds) > 1:
        folds += f", {len(entry.seeds)} seeds"
    return [
        _cell(name + other + collapsed),
        _cell(row.system.text("claimed") or "–"),
        _cell("; ".join(filter(None, (_leaky(one, kind) for one in row.leaky))) or "–"),
        *(_figure(row.figure(figure), row.mark(figure)) for figure in kind.figures),
        str(max((found["n"] for figure in kind.figures if (found := row.figure(figure))), default="–")),
        folds,
        f"{entry.image_size}, {entry.epochs}" if entry else "–",
        f"{row.system.facts['params'] / 1e6:.2f} M",
        f"{row.gmacs:.2f}",
        "–" if row.speed_ms is None else f"{row.speed_ms:.1f}",
    ]


def _leaky(entry: Entry, kind: Part) -> str:
    shown = [name for name in _LEAKY_FIGURES[kind.title] if name in entry.figures]
    if not shown:
        return ""
    parts = [f"{FIGURES[name]} {_value(entry.figures[name])}" for name in shown]
    if not entry.complete:
        parts.append(f"{entry.tested} folds")
    return f"{entry.key.protocol}: {', '.join(parts)}"


def _figure(interval: Interval | None, mark: str) -> str:
    if interval is None:
        return "–"
    value = _value(interval)
    shown = f"**{value}**" if mark == BEST else f"≈ {value}" if mark == TIED else value
    if interval["low"] is None or interval["high"] is None:
        return shown
    return f"{shown} ({interval['low']:.3f}–{interval['high']:.3f})"


def _value(interval: Interval) -> str:
    return "–" if interval["value"] is None else f"{interval['value']:.3f}"


def _external(one: External) -> list[str]:
    stamps = "".join(f" ⚠ {stamp}" for stamp in one.stamps)
    folds = f"{one.folds} fold{'s' if one.folds > 1 else ''}"
    figures = [_figure(one.figures.get(name), "") for name in FIGURES]
    return [
        _cell(one.name),
        _cell(f"{one.dataset}, {one.split}, {folds}"),
        *figures,
        _cell(one.note + stamps),
    ]


def _cell(text: str) -> str:
    """Text that cannot break out of its cell."""
    return " ".join(text.replace("|", "\\|").split())

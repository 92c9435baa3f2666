"""Lines of the leaderboard: claimed, leaky and honest figures of one system side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from senoscope import catalog, models
from senoscope.benchmark.figures import FIGURES, LOWER
from senoscope.benchmark.jobs import TRACKS
from senoscope.benchmark.leaderboard import Entry, Key
from senoscope.benchmark.protocol import load_protocol
from senoscope.evaluation.bootstrap import Interval

BEST, TIED, WORSE = "best", "tied", "worse"


@dataclass(frozen=True)
class Row:
    """A system on a dataset, by one honest protocol (``entry``; ``None`` if it has none yet).

    ``label`` is its name with its variant's (``SYSTEM+VARIANT``: other settings than the system's own).
    ``leaky`` are the replicas of the same track and dataset. ``speed_ms`` is the median of one image on the CPU.
    """

    track: str
    dataset: str
    label: str
    system: catalog.Row
    entry: Entry | None
    leaky: tuple[Entry, ...]
    speed_ms: float | None

    @property
    def variant(self) -> str:
        """The name of other settings than the system's own; empty for none."""
        return self.label.partition("+")[2]

    @property
    def claims(self) -> dict[str, float]:
        """The claimed figures that have the leaderboard's names, as shares."""
        return dict(self.system.facts.get("claims", {}))

    @property
    def gmacs(self) -> float:
        """Giga multiply-adds of one image at the size trained at, scaled by area; a rough figure."""
        facts = self.system.facts
        side = self.entry.image_size if self.entry else TRACKS[self.track].size(self.system.name)
        return float(facts["gmacs"]) * (side / int(facts["native_size"])) ** 2

    def figure(self, name: str) -> Interval | None:
        """An honest figure, where it is defined."""
        found = self.entry.figures.get(name) if self.entry else None
        return found if found and found["value"] is not None else None

    def mark(self, name: str) -> str:
        """:data:`BEST`, :data:`TIED` (the difference to the best may be chance), :data:`WORSE`, or empty.

        Empty too for a collapsed training, and for a row that is not ranked and does better than the best on the cases
        that both tested.
        """
        if self.entry is None or self.entry.collapsed or self.figure(name) is None:
            return ""
        if self.entry.ranked and self.entry.ranks.get(name) == 1:
            return BEST
        against = self.entry.tests.get(name)
        if against is None or against.p_holm is None:
            return ""
        if against.tied:
            return TIED
        return WORSE if (against.test.difference > 0) == (name in LOWER) else ""


@dataclass(frozen=True)
class Table:
    """The rows that may be compared: one track, dataset and honest protocol (empty: replicas only).

    ``missing`` names the systems that the protocol can take and that have no result by it yet.
    """

    track: str
    dataset: str
    protocol: str
    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()

    def having(self, figure: str) -> list[Row]:
        """Rows with a figure, best first; those that are not ranked come last, by name."""
        found = [row for row in self.rows if row.figure(figure)]
        return sorted(found, key=lambda row: _place(row, figure))


def _place(row: Row, figure: str) -> tuple[bool, int, str]:
    assert row.entry is not None  # noqa: S101 - only rows with the figure are asked
    return not row.entry.ranked, row.entry.ranks.get(figure, 0), row.label


def make_tables(entries: Sequence[Entry], speed: Mapping[str, Any] | None = None) -> list[Table]:
    """Tables of rows, in the order of the entries; ``speed`` is the content of ``speed.json``."""
    times: Mapping[str, Any] = (speed or {}).get("systems", {})
    leaky: dict[Key, list[Entry]] = defaultdict(list)
    for entry in entries:
        if not entry.honest:
            leaky[entry.key._replace(protocol="")].append(entry)
    rows: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    shown = set()
    for entry in entries:
        if entry.honest:
            anywhere = entry.key._replace(protocol="")
            shown.add(anywhere)
            rows[entry.key[:3]].append(_row(entry.key, entry, leaky.get(anywhere, []), times))
    for key, replicas in leaky.items():
        if key not in shown:
            rows[key[:3]].append(_row(key, None, replicas, times))
    return [Table(*key, tuple(members), _missing(key[2], members)) for key, members in rows.items()]


def _missing(protocol: str, rows: Sequence[Row]) -> tuple[str, ...]:
    if not protocol:
        return ()
    tested = {row.label for row in rows}
    refusal = load_protocol(protocol).refusal
    return tuple(name for name in models.names() if name not in tested and not refusal(name))


def _row(key: Key, entry: Entry | None, leaky: Sequence[Entry], times: Mapping[str, Any]) -> Row:
    speed = times.get(key.system, {}).get("median_ms")
    return Row(key.track, key.dataset, key.label, models.info(key.system), entry, tuple(leaky), speed)


def as_json(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """The tables as plain values, without the predictions they come from."""
    return [
        {
            "track": table.track,
            "dataset": table.dataset,
            "protocol": table.protocol or None,
            "missing": list(table.missing),
            "systems": [_row_json(row) for row in table.rows],
        }
        for table in tables
    ]


def _row_json(row: Row) -> dict[str, Any]:
    facts = row.system.facts
    return {
        "system": row.system.name,
        "label": row.label,
        "task": facts["task"],
        "claimed": row.system.text("claimed"),
        "params": facts["params"],
        "gmacs": row.gmacs,
        "milliseconds": row.speed_ms,
        "honest": _entry_json(row.entry) if row.entry else None,
        "marks": {name: row.mark(name) for name in FIGURES if row.mark(name)},
        "leaky": [_entry_json(entry) for entry in row.leaky],
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    names = [name for name in entry.__dataclass_fields__ if name not in ("key", "tests", "tables")]
    tests = {
        name: {"best": against.best, "p_holm": against.p_holm, **asdict(against.test)}
        for name, against in entry.tests.items()
    }
    return {**entry.key._asdict(), **{name: getattr(entry, name) for name in names}, "tests": tests}

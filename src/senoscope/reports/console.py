"""Short tables for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from senoscope.imaging.draw import score_text
from senoscope.reports.demo import Demo
from senoscope.reports.folder import Summary
from senoscope.schema import RESEARCH_USE

_ABSENT = "[dim]not given[/dim]"


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """How many images went how, which files could not be read, and where the report is."""
    console = console or Console()
    total = sum(summary.counts.values())
    parts = ", ".join(f"{count} {status}" for status, count in summary.counts.items())
    console.print(f"{total} image{'s' * (total != 1)}: {parts} ({summary.seconds:.1f} s)", highlight=False)
    for source, why in summary.failed:
        console.print(f"[red]{escape(source)}[/red]: {escape(why)}", soft_wrap=True, highlight=False)
    if summary.absent:
        console.print(f"Not given by this model: {', '.join(summary.absent)}.", highlight=False)
    console.print(f"Report: [bold]{escape(str(summary.report))}[/bold]", soft_wrap=True, highlight=False)
    console.print(RESEARCH_USE, style="dim")


def print_demo(demo: Demo, console: Console | None = None) -> None:
    """Truth beside answer, one line per simulated exam."""
    console = console or Console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("exam", "simulated", "found", "malignancy", "findings", "Dice"):
        table.add_column(name, justify="right" if name in ("malignancy", "findings", "Dice") else "left")
    for row in demo.rows:
        found = f"[green]{row.found}[/green]" if row.found == row.truth else f"[yellow]{row.found}[/yellow]"
        score = "" if row.malignancy is None else score_text(row.malignancy)
        overlap = "" if row.dice is None else f"{row.dice:.2f}"
        count = _ABSENT if row.findings is None else str(row.findings)
        table.add_row(row.name, row.truth, _ABSENT if row.found is None else found, score, count, overlap)
    console.print(table)
    print_summary(demo.summary, console)

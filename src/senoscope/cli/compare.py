"""``senoscope compare``: two systems on the same cases, with intervals and adjusted p-values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from senoscope.evaluation.compare import Comparison

Side = Annotated[
    str, typer.Argument(help="A prediction table (.parquet, .csv), a folder that holds one, or a run.")
]
Out = Annotated[Path | None, typer.Option(help="A folder for comparison.json and comparison.html.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")]


def command(first: Side, second: Side, out: Out = None, as_json: AsJson = False) -> None:
    """Is FIRST better than SECOND on the same cases? Accuracy, AUC and Dice: differences, 95 % intervals, p."""
    import json

    from senoscope.evaluation.compare import compare, write_comparison

    found = compare(first, second)
    if out is not None:
        from senoscope.evaluation.compare_page import write_page

        write_comparison(found, out / "comparison.json")
        write_page(found, out / "comparison.html")
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found, out)


def _print(found: Comparison, out: Path | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from senoscope.evaluation.compare_page import p_text
    from senoscope.evaluation.metrics import TITLES

    console = Console()
    for number, side in (("first", found["first"]), ("second", found["second"])):
        named = f"{side['system']}, {side['name']}" if side["system"] else side["name"]
        console.print(f"{number}: {escape(named)}", soft_wrap=True)
        for stamp in side["stamps"]:
            console.print(f"[bold red]⚠ {number}: {escape(stamp)}")
    table = Table(box=None)
    heads = ("figure", "first", "second", "difference", "95 % interval", "p", "p, Holm", "n")
    for name in heads:
        table.add_column(name, justify="left" if name == "figure" else "right")
    for name, figure in found["figures"].items():
        between = "–" if figure["low"] is None else f"{figure['low']:+.3f} – {figure['high']:+.3f}"
        table.add_row(
            TITLES[name], f"{figure['first']:.3f}", f"{figure['second']:.3f}", f"{figure['difference']:+.3f}",
            between, p_text(figure["p"]), p_text(figure["p_holm"]), str(figure["n"]),
        )  # fmt: skip
    console.print(table)
    console.print(f"{found['cases']} cases in {found['clusters']} clusters; difference = first − second")
    if out is not None:
        console.print(f"Report: {escape(str(out / 'comparison.html'))}", soft_wrap=True)
    console.print(f"[dim]{found['research_use']}")

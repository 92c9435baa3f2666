"""``senoscope models``: the systems that can be trained, and the shipped model."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="List and describe systems and the shipped model.", add_completion=False, no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_FACTS = ("name", "task", "year", "params", "gmacs", "fidelity", "claimed", "source", "needs", "gives")


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the systems that can be built and trained."""
    from senoscope import catalog, models

    rows = [row.as_dict() for _, row in sorted(catalog.load(models.CATALOG).items())]
    if as_json:
        typer.echo(
            json.dumps([{key: row.get(key) for key in _FACTS} for row in rows], indent=2, ensure_ascii=False)
        )
        return
    _table(rows)


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("name", "task", "year"):
        table.add_column(head, no_wrap=True)
    for head in ("params", "GMACs", "at px"):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("fidelity", "claimed", "source"):
        table.add_column(
            head, overflow="fold" if head != "fidelity" else "ignore", no_wrap=head == "fidelity"
        )
    for row in rows:
        counts = (f"{row['params'] / 1e6:.2f} M", f"{row['gmacs']:.2f}", str(row["native_size"]))
        words = (row["fidelity"], row["claimed"] or "–", row["source"])
        table.add_row(row["name"], row["task"], str(row["year"]), *counts, *words)
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="A system of `senoscope models list`, or a bundle's folder.")],
    as_json: AsJson = False,
) -> None:
    """Describe a system and, where it ships trained, its card: data, results, limits; or a bundle by its card."""
    from senoscope.inference.model_card import describe

    facts = describe(name)
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else facts["page"])

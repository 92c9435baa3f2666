"""``senoscope models``: the systems that can be trained, and the shipped model."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(
    help="List and describe systems and the shipped model.", add_completion=False, no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_FACTS = ("name", "task", "year", "params", "gmacs", "fidelity", "claimed", "source", "needs", "gives")


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the systems that can be built and trained."""
    from senoscope import catalog

    rows = [row.as_dict() for row in catalog.load("senoscope.models").values()]
    if as_json:
        typer.echo(
            json.dumps([{key: row.get(key) for key in _FACTS} for row in rows], indent=2, ensure_ascii=False)
        )
        return
    for row in rows:
        typer.echo(f"{row['name']:16} {row['task']:18} {row['params'] / 1e6:5.2f} M  {row['title']}")


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="A system of `senoscope models list`.")], as_json: AsJson = False
) -> None:
    """Describe a system and, where it ships trained, its card: data, results, limits."""
    from senoscope.inference.model_card import describe

    facts = describe(name)
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else facts["page"])

"""``senoscope split``: grouped, stratified folds frozen in a CSV, and a check of anyone's split for leaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from senoscope.data.splits import Split


def command(
    name: Annotated[str | None, typer.Argument(help="A dataset of `senoscope datasets list`.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Its folder, or the table's file; by default the shared data folder.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="How many folds.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and data give the same folds.")] = 0,
    out: Annotated[Path, typer.Option(help="The CSV to write.")] = Path("split.csv"),
    find: Annotated[
        bool, typer.Option("--find-duplicates/--known-groups", help="Look for near-duplicates first.")
    ] = True,
    check: Annotated[
        str | None, typer.Option(help="A CSV, or a frozen split's name, to check for leaks.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="The dataset that --check holds the split against.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Make folds that no patient and no near-duplicate crosses; or check a split that you have."""
    from senoscope.data import freeze
    from senoscope.errors import UsageError

    if check is not None:
        split, leaks = freeze.check(check, data or name, root)
        if as_json:
            summary = split.summary() | {"leaks": [leak.as_dict() for leak in leaks]}
            typer.echo(json.dumps(summary, ensure_ascii=False, indent=2))
        else:
            _print(split)
            for leak in leaks:
                typer.echo(f"leak: {leak}")
            typer.echo(f"{split.name}: {len(leaks)} leaks" if leaks else f"{split.name}: no leak")
        if leaks:
            raise typer.Exit(1)
        return
    if name is None:
        raise UsageError(
            "no dataset is named",
            expected="senoscope split DATASET, or senoscope split --check FILE --data DATASET",
        )
    split = freeze.freeze(name, root, folds, seed, out, find=find, progress=not as_json)
    if as_json:
        typer.echo(json.dumps(split.summary() | {"file": str(out)}, ensure_ascii=False, indent=2))
    else:
        _print(split)
        typer.echo(f"Written: {out}")


def _print(split: Split) -> None:
    from rich.console import Console
    from rich.table import Table

    summary = split.summary()
    table = Table("fold", *summary["labels"], "all", "groups", box=None, header_style="bold", pad_edge=False)
    for row in summary["folds"]:
        counts = [str(row["counts"][label]) for label in summary["labels"]]
        table.add_row(str(row["fold"]), *counts, str(row["images"]), str(row["groups"]))
    Console().print(table)
    sizes = ", ".join(f"{count} of {size}" for size, count in summary["group_sizes"].items()) or "none"
    typer.echo(f"Groups of near-duplicates: {sizes}. Dropped: {summary['dropped']}. Hash: {split.hash[:16]}…")

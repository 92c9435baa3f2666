"""``senoscope datasets``: which datasets can be read, what they are, whether a copy is sound; crops of findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    help="List, describe, verify, audit and crop datasets.", add_completion=False, no_args_is_help=True
)

_INTERNAL = ("entry", "fake", "check", "other_files", "has_masks", "get")
_TITLES = {"n": "images", "n_masks": "mask files", "counts": "images by class"}

Name = Annotated[str, typer.Argument(help="A dataset of `senoscope datasets list`.")]
Root = Annotated[
    Path | None, typer.Option(help="Its folder, or the table's file; by default the shared data folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the datasets that can be read."""
    from senoscope import catalog, data

    rows = [
        row.as_dict() | {"found": data.is_found(name)} for name, row in catalog.load("senoscope.data").items()
    ]
    if as_json:
        _print_json(rows)
        return
    columns = ("name", "modality", "images", "found", "title")
    cells = [
        [row["name"], row["modality"], row.get("n", ""), "yes" if row["found"] else "", row["title"]]
        for row in rows
    ]
    _print_table(columns, cells)


@app.command("info")
def info(name: Name, as_json: AsJson = False) -> None:
    """Say what a dataset is: classes, sizes, licence, citation, known problems."""
    from senoscope import data

    facts = data.info(name).as_dict()
    if as_json:
        _print_json(facts)
        return
    for key, value in facts.items():
        if value not in ("", []) and key not in _INTERNAL:
            typer.echo(f"{_TITLES.get(key, key)}: {_in_words(value)}")


@app.command("verify")
def verify(
    name: Name,
    root: Root = None,
    pixels: Annotated[bool, typer.Option("--pixels", help="Decode every file too (slower).")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a copy against its owner's layout; exit code 1 if something in it cannot be used."""
    from senoscope.data.verify import verify as find_problems

    problems = find_problems(name, root, pixels=pixels)
    errors = sum(problem.level == "error" for problem in problems)
    if as_json:
        _print_json([problem.as_dict() for problem in problems])
    else:
        for problem in problems:
            typer.echo(f"{problem.level}: {problem.file}: {problem.found}")
            typer.echo(f"  expected: {problem.expected}\n  fix: {problem.fix}")
        typer.echo(
            f"{name}: {errors} to mend, {len(problems) - errors} to know"
            if problems
            else f"{name}: all is well"
        )
    if errors:
        raise typer.Exit(1)


@app.command("audit")
def audit(
    name: Name,
    root: Root = None,
    out: Annotated[Path, typer.Option(help="Folder for the page and its pictures.")] = Path("audit"),
    as_json: AsJson = False,
) -> None:
    """Look for duplicates, label conflicts, patient crossings, burnt-in text and odd masks."""
    from senoscope.data.audit import audit as run

    result = run(name, root, out, progress=not as_json)
    if as_json:
        _print_json(result.as_dict() | {"page": str(result.page)})
        return
    columns = ("check", "issues", "images", "meaning")
    _print_table(columns, [[row[column] for column in columns] for row in result.table()])
    typer.echo(f"Page with pictures: {result.page}")


@app.command("crop")
def crop(
    name: Name,
    out: Annotated[Path, typer.Option(help="A new folder for the crops, their masks and their table.")],
    root: Root = None,
    margin: Annotated[
        float, typer.Option(help="What stays free on every side of a finding, in units of its longer side.")
    ] = 0.5,
    jitter: Annotated[
        float, typer.Option(help="The share of the margin by which crops are moved at random, 0 to 1.")
    ] = 0.5,
    size: Annotated[
        int | None, typer.Option(help="Longer side of every crop in pixels; by default as in the image.")
    ] = None,
    normals: Annotated[int, typer.Option(help="Crops of each image without a finding.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and data give the same crops.")] = 0,
    whole: Annotated[bool, typer.Option("--whole", help="Keep whole images; only make their masks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Cut out findings with their masks, and normal tissue, into a table that every command reads."""
    from collections import Counter

    from senoscope.data.regions import Rules, crop_dataset

    rules = Rules(margin=margin, jitter=jitter, size=size, normals=normals, seed=seed, whole=whole)
    result = crop_dataset(name, root, out, rules, progress=not as_json)
    counts = Counter(record.label or "no label" for record in result.records)
    if as_json:
        split = str(result.split) if result.split else None
        _print_json({"table": str(result.table), "split": split, "counts": counts, "skipped": result.skipped})
        return
    for id, reason in result.skipped.items():
        typer.echo(f"left out: {id}: {reason}")
    typer.echo(f"{len(result.records)} crops: {_in_words(counts)}. Table: {result.table}")
    made = f"its folds: {result.split}" if result.split else f"senoscope split table --root {result.table}"
    typer.echo(f"Split by patient: {made}")


def _in_words(value: Any) -> str:
    """A catalog's value for a person: long lists as bullet points, tables as pairs."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, list) and any(len(str(item)) > 40 for item in value):
        return "".join(f"\n  - {item}" for item in value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell).replace("[", "\\[") for cell in row))
    Console().print(table)

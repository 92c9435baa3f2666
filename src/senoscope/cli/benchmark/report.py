"""``senoscope benchmark report``: the leaderboard as a page, as Markdown, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Results = Annotated[Path, typer.Option(help="The folder of results that `benchmark run` wrote.")]
Out = Annotated[Path, typer.Option(help="Where leaderboard.html goes; speed.json is looked for there.")]
Markdown = Annotated[Path | None, typer.Option(help="Write the tables as Markdown to this file too.")]
Pictures = Annotated[
    bool, typer.Option("--pictures", help="Show images that many systems fail on; never publish such a page.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print tables and external trainings as JSON.")]


def command(
    results: Results = Path("benchmark/results"),
    out: Out = Path("benchmark"),
    markdown: Markdown = None,
    pictures: Pictures = False,
    as_json: AsJson = False,
) -> None:
    """Make the leaderboard of all results: claimed, leaky and honest figures side by side."""
    import json
    from dataclasses import asdict

    from senoscope.benchmark.external import read_external
    from senoscope.benchmark.leaderboard import make_entries, read_results
    from senoscope.benchmark.markdown import write_markdown
    from senoscope.benchmark.page import PAGE, write_page
    from senoscope.benchmark.rows import as_json as plain
    from senoscope.benchmark.rows import make_tables
    from senoscope.benchmark.speed import SPEED, read_speed

    entries = make_entries(read_results(results).values())
    external = read_external(results)
    speed = read_speed(out / SPEED)
    write_page(out / PAGE, entries, external, speed=speed, pictures=pictures)
    if markdown is not None:
        write_markdown(markdown, entries, external, speed=speed)
    if as_json:
        content = {
            "tables": plain(make_tables(entries, speed)),
            "external": [asdict(one) for one in external],
        }
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{len(entries)} systems × protocols. Leaderboard: {out / PAGE}")
    if markdown is not None:
        typer.echo(f"Markdown: {markdown}")

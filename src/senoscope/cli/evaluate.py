"""``senoscope evaluate``: measure a run, a bundle or anyone's prediction table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from senoscope.evaluation.evaluate import Evaluation

Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN_OR_BUNDLE",
        help="Runs (several are folds, pooled), a bundle (folder or name), or prediction tables (.parquet, .csv).",
    ),
]
Data = Annotated[str | None, typer.Option(help="The dataset to measure on, and to take pictures from.")]
Root = Annotated[Path | None, typer.Option(help="That dataset's folder; by default the shared data folder.")]
Out = Annotated[
    Path | None, typer.Option(help="Where report.html and summary.json go; by default beside the table.")
]
InSample = Annotated[
    bool,
    typer.Option("--allow-in-sample", help="Measure a bundle on its own training data; stamps the report."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def command(
    targets: Targets,
    data: Data = None,
    root: Root = None,
    out: Out = None,
    allow_in_sample: InSample = False,
    as_json: AsJson = False,
) -> None:
    """Measure a run, a bundle on a dataset, or anyone's predictions: figures with 95 % intervals, and a report."""
    import json

    from senoscope.evaluation.evaluate import evaluate

    with ProgressBar() as bar:
        result = evaluate(
            *targets,
            data=data,
            root=root,
            out=out,
            allow_in_sample=allow_in_sample,
            progress=None if as_json else bar.update,
        )
    if as_json:
        typer.echo(json.dumps(result.summary, indent=2, ensure_ascii=False))
    else:
        print_evaluation(result)
    for case, reason in result.failures:
        typer.echo(f"failed: {case}: {reason}", err=True)
    if result.failures:
        raise typer.Exit(1)


class ProgressBar:
    """A progress bar on stderr that appears with the first case done."""

    def __init__(self, doing: str = "Predicting") -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(doing)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` cases are done."""
        self._progress.start()
        self._progress.update(self._task, completed=done, total=total)


def print_evaluation(result: Evaluation) -> None:
    """The headline figures, the stamps, and where the report lies."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from senoscope.evaluation.evaluate import REPORT
    from senoscope.evaluation.metrics import HEADLINES, TITLES

    console, summary = Console(), result.summary
    for stamp in summary["stamps"]:
        console.print(f"[bold red]⚠ {escape(stamp)}")
    table = Table(title=escape(str(summary["system"] or "")), title_justify="left", box=None)
    for name in ("figure", "value", "95 % interval", "n"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    figures = {name: summary["figures"].get(name) for name in HEADLINES}
    rows = [(TITLES[name], interval) for name, interval in figures.items() if interval]
    if "ece" in summary["calibrated"]:
        rows.append(("Calibration error, after temperature", summary["calibrated"]["ece"]))
    for title, interval in rows:
        cells = [
            f"{interval[key]:.3f}" if interval[key] is not None else "–" for key in ("value", "low", "high")
        ]
        table.add_row(title, cells[0], f"{cells[1]} – {cells[2]}", str(interval["n"]))
    console.print(table)
    console.print(f"Report: {escape(str(result.folder / REPORT))}", soft_wrap=True)
    console.print(f"[dim]{summary['research_use']}")

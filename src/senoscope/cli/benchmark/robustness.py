"""``senoscope benchmark robustness``: how a bundle or run fares on corrupted and attacked images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from senoscope.evaluation.robustness import Robustness

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="A bundle (name or folder), or a finished run.")
]
Data = Annotated[
    str | None, typer.Option(help="The dataset; a run is measured on its own test fold without it.")
]
Root = Annotated[Path | None, typer.Option(help="That dataset's folder; by default the shared data folder.")]
Fold = Annotated[int | None, typer.Option(help="Keep a bundle to one fold of the dataset's frozen split.")]
Corruptions = Annotated[
    str, typer.Option(metavar="NAMES", help="Corruptions, with commas or spaces between; by default all.")
]
Severities = Annotated[str, typer.Option(metavar="NUMBERS", help="Severities of 1 to 5, likewise.")]
Adversarial = Annotated[bool, typer.Option("--adversarial", help="Attack too (FGSM and PGD; needs torch).")]
Limit = Annotated[int | None, typer.Option(help="Measure only so many cases, drawn at random.")]
Seed = Annotated[int, typer.Option(help="Of all random numbers.")]
Out = Annotated[Path | None, typer.Option(help="The folder written to; what is finished there is kept.")]
InSample = Annotated[
    bool,
    typer.Option("--allow-in-sample", help="Measure a bundle on its own training data; stamps the report."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def command(
    target: Target,
    data: Data = None,
    root: Root = None,
    fold: Fold = None,
    corruptions: Corruptions = "",
    severities: Severities = "1 3 5",
    adversarial: Adversarial = False,
    limit: Limit = None,
    seed: Seed = 0,
    out: Out = None,
    allow_in_sample: InSample = False,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle or run on images made worse in known steps: curves, corruption errors and a report.

    An interrupted measurement goes on where it was when the same command is given again.
    """
    import json

    from rich.console import Console
    from rich.progress import Progress

    from senoscope.evaluation.robustness import robustness

    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task("Measuring")
        result = robustness(
            target,
            data=data,
            root=root,
            fold=fold,
            names=_words(corruptions),
            severities=_numbers(severities),
            adversarial=adversarial,
            limit=limit,
            seed=seed,
            out=out,
            allow_in_sample=allow_in_sample,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        typer.echo(json.dumps(result.summary, indent=2, ensure_ascii=False))
    else:
        _print(result)
    for case, reason in result.failures:
        typer.echo(f"failed: {case}: {reason}", err=True)
    if result.failures:
        raise typer.Exit(1)


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _numbers(text: str) -> list[int]:
    from senoscope.errors import UsageError

    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise UsageError(f"the severities '{text}'", expected="whole numbers such as '1 3 5'") from None


def _print(result: Robustness) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from senoscope.evaluation.metrics import TITLES
    from senoscope.evaluation.robustness import REPORT
    from senoscope.evaluation.robustness_figures import ERRORS, FIGURES

    console, summary = Console(), result.summary
    for stamp in summary["stamps"]:
        console.print(f"[bold red]⚠ {escape(stamp)}")
    shown = [name for name in FIGURES if name in summary["clean"]]
    table = Table(title=escape(str(summary["system"] or "")), title_justify="left", box=None)
    for position, name in enumerate(("images", *(TITLES[name] for name in shown))):
        table.add_column(name, justify="right" if position else "left")
    rows = [("clean", summary["clean"])]
    for group, sign in (("corruptions", ""), ("attacks", "/255")):
        for name, levels in summary[group].items():
            rows += [(f"{name} {level}{sign}", found) for level, found in levels.items()]
    for label, found in rows:
        values = [found.get(name, {}).get("value") for name in shown]
        table.add_row(label, *(f"{value:.3f}" if value is not None else "–" for value in values))
    console.print(table)
    for figure, found in summary["errors"].items():
        increase, ratio = found["mean"]["increase"], found["mean"]["ratio"]["value"]
        if increase["value"] is not None:
            times = f", ×{ratio:.2f}" if ratio is not None else ""
            bounds = (
                f" ({increase['low']:+.3f} to {increase['high']:+.3f})" if increase["low"] is not None else ""
            )
            console.print(
                f"{ERRORS[figure]}: {found['clean']:.3f} clean, {increase['value']:+.3f}{bounds} corrupted{times}"
            )
    console.print(f"Report: {escape(str(result.folder / REPORT))}", soft_wrap=True)
    console.print(f"[dim]{summary['research_use']}")

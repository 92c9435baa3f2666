"""``senoscope score``: another tool's predictions, held to one of our protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Predictions = Annotated[
    Path,
    typer.Argument(help="A .csv or .parquet with id, p_normal, p_benign and p_malignant, one row per case."),
]
Data = Annotated[str, typer.Option(help="The dataset whose cases were predicted.")]
Protocol = Annotated[str, typer.Option(help="Who must be tested; see 'senoscope benchmark protocols'.")]
Fold = Annotated[int | None, typer.Option(help="One fold only; by default all of them.")]
Masks = Annotated[Path | None, typer.Option(help="A folder of predicted masks, ID.png, black and white.")]
Root = Annotated[Path | None, typer.Option(help="The dataset's folder; by default the shared data folder.")]
Out = Annotated[Path | None, typer.Option(help="Where the report goes; by default beside the predictions.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def command(
    predictions: Predictions,
    data: Data,
    protocol: Protocol = "grouped-5fold",
    fold: Fold = None,
    masks: Masks = None,
    root: Root = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Score anyone's predictions: exactly the protocol's cases, our figures with intervals, and a report."""
    import json

    from senoscope.benchmark.score import score
    from senoscope.cli.evaluate import ProgressBar, print_evaluation

    with ProgressBar("Reading masks") as bar:
        found = score(
            predictions, data, protocol=protocol, fold=fold, masks=masks, root=root, out=out,
            progress=None if as_json else bar.update,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found.summary, indent=2, ensure_ascii=False))
    else:
        print_evaluation(found)

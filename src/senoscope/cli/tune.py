"""``senoscope tune``: a recipe and what may vary in it, in; the best recipe found, out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe (YAML), or the name of a shipped one.")
]
Varied = Annotated[
    list[str] | None,
    typer.Option(
        "--search",
        metavar="KEY=VALUES",
        help="KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C; repeat for more keys.",
    ),
]
Trials = Annotated[int, typer.Option(min=1, help="Finished trials to reach, all processes together.")]
SamplerName = Annotated[str, typer.Option("--sampler", help="tpe, random, grey-wolf or parrot.")]
Out = Annotated[Path | None, typer.Option(help="The search's folder; by default runs/NAME-tune.")]
Fold = Annotated[
    int | None, typer.Option(help="Hold this fold out of every trial, for an honest test later.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another value for a key of the recipe; repeat for more."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The sampler's seed (the recipe has its own).")]
AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Train on a split that leaks; stamps every report made from it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON; no progress bar.")]


def command(
    recipe: RecipeArgument,
    search: Varied = None,
    trials: Trials = 20,
    sampler: SamplerName = "tpe",
    out: Out = None,
    fold: Fold = None,
    settings: Settings = None,
    seed: Seed = 0,
    allow_leaks: AllowLeaks = False,
    as_json: AsJson = False,
) -> None:
    """Search for better values of a recipe's keys by training it many times; judged on validation, never on the test.

    The same command goes on after any interruption; started several times on one --out, it shares the work.
    """
    from senoscope.errors import UsageError
    from senoscope.training.recipe import find_recipe, hold_out, merged, parse_setting, read_recipe
    from senoscope.training.tuning.keys import parse_space
    from senoscope.training.tuning.samplers import SAMPLERS
    from senoscope.training.tuning.search import Search
    from senoscope.training.tuning.summary import write_summary

    if sampler not in SAMPLERS:
        raise UsageError(f"there is no sampler '{sampler}'", expected="one of " + ", ".join(SAMPLERS))
    changes: dict[str, Any] = {}
    for setting in settings or ():
        changes = merged(changes, parse_setting(setting))
    chosen = read_recipe(find_recipe(recipe), **changes)
    space = parse_space(search or [], chosen)
    chosen = chosen if fold is None else hold_out(chosen, fold)
    folder = out or Path("runs") / f"{chosen.name}-tune"
    job = Search(chosen, space, folder, trials, sampler, seed, allow_leaks, progress=not as_json)
    study = job.run(None if as_json else _tell)
    found = write_summary(job, study)
    if as_json:
        import json

        typer.echo(json.dumps(found))
    else:
        _print(found)


def _tell(study: Study, trial: FrozenTrial) -> None:
    """One line per trial that this process trained."""
    score = "pruned" if trial.state.name == "PRUNED" else f"score {trial.value:.4f}"
    typer.echo(f"Trial {trial.number}: {score} ({_values(trial.params)})")


def _values(params: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_short(value)}" for key, value in params.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    keys = list(found["best"]["params"])
    table = Table("trial", "score", *keys, box=None, header_style="bold", pad_edge=False)
    for row in found["top"]:
        values = (_short(row["params"][key]) for key in keys)
        table.add_row(str(row["trial"]), f"{row['score']:.4f}", *values)
    Console().print(table)
    counts = found["trials"]
    typer.echo(
        f"Trials: {counts['finished']} finished, {counts['pruned']} of them pruned; {counts['failed']} failed."
    )
    typer.echo(f"Picture: {found['picture']}   next: senoscope train {found['recipe']}")

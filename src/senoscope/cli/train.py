"""``senoscope train``: a recipe, or a system and data, in; a run out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

RecipeArgument = Annotated[
    str | None,
    typer.Argument(metavar="RECIPE", help="A recipe (YAML), or the name of a shipped one (see --list)."),
]
SystemOption = Annotated[
    str | None,
    typer.Option("--system", help="Train a system of `senoscope models list` by its paper's recipe."),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data", metavar="NAME[=FOLDER]", help="With --system: a dataset to train on; repeat for more."
    ),
]
ImageSize = Annotated[
    int | None, typer.Option(min=16, help="With --system: side of the square images, in pixels.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another value for a key of the recipe; repeat for more."
    ),
]
Out = Annotated[Path | None, typer.Option(help="The run's folder; by default runs/NAME.")]
Fold = Annotated[
    int | None, typer.Option(help="Hold this fold out for testing, in every dataset that has it.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out where it was stopped.")]
Encoder = Annotated[
    Path | None,
    typer.Option(help="Pretrained encoder (safetensors, timm's mobilenetv2_100). Needs no network."),
]
Init = Annotated[
    Path | None, typer.Option(help="Start from the weights.safetensors of a run or bundle (fine-tuning).")
]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="Fetch the pretrained encoder from timm's hub.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Train this many epochs instead of the recipe's.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; by default all cores.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed than the recipe's.")]
AllowLeaks = Annotated[
    bool,
    typer.Option(
        "--allow-leaks",
        help="Train on a split that leaks, or from weights that saw the held-out fold; stamps every report made of it.",
    ),
]
List = Annotated[bool, typer.Option("--list", help="List the shipped recipes and stop.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the kept epoch's figures as JSON; no progress bar.")
]


def command(
    recipe: RecipeArgument = None,
    system: SystemOption = None,
    data: Data = None,
    image_size: ImageSize = None,
    settings: Settings = None,
    out: Out = None,
    fold: Fold = None,
    resume: Resume = False,
    encoder_weights: Encoder = None,
    init_weights: Init = None,
    pretrained: Pretrained = False,
    epochs: Epochs = None,
    threads: Threads = None,
    seed: Seed = None,
    allow_leaks: AllowLeaks = False,
    list_recipes: List = False,
    as_json: AsJson = False,
) -> None:
    """Train a network: from a RECIPE, or a system of the literature on data (--system NAME --data NAME).

    Stop it at any moment; --resume goes on to exactly the same weights.
    """
    from senoscope.training.recipe import hold_out, merged, parse_setting, shipped

    if list_recipes:
        _print_recipes(shipped())
        return
    given = {
        "encoder_weights": encoder_weights,
        "init_weights": init_weights,
        "pretrained": pretrained or None,
        "epochs": epochs,
        "threads": threads,
        "seed": seed,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    for setting in settings or ():
        changes = merged(changes, parse_setting(setting))
    chosen = _chosen(recipe, system, data, image_size, changes)
    name = chosen.name
    if fold is not None:
        chosen, name = hold_out(chosen, fold), f"{name}-fold{fold}"

    from senoscope.training.loop import train
    from senoscope.training.runs import is_leader

    folder = out or Path("runs") / name
    try:
        train(chosen, folder, resume=resume, allow_leaks=allow_leaks, progress=not as_json)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. The same command with --resume goes on with {folder}.", err=True)
        raise
    if is_leader():
        _report(folder, chosen, as_json)


def _chosen(
    recipe: str | None, system: str | None, data: list[str] | None, size: int | None, changes: dict[str, Any]
) -> Any:
    """The recipe that is named, or the one of a system on named data."""
    from senoscope.errors import UsageError
    from senoscope.training.recipe import find_recipe, read_recipe

    if (recipe is None) == (system is None):
        raise UsageError(
            "no recipe is named" if recipe is None else "both a recipe and a system are named",
            expected="a recipe (YAML, or a shipped one's name), or --system NAME --data NAME",
            fix="see them with: senoscope train --list, senoscope models list",
        )
    if system is None:
        if data or size:
            raise UsageError(
                "--data and --image-size go with --system",
                fix="change the recipe itself, or one key with --set, such as --set preprocess.size=224",
            )
        return read_recipe(find_recipe(str(recipe)), **changes)
    if not data:
        raise UsageError(
            f"--system {system} has no data", expected="--data NAME", fix="see: senoscope datasets list"
        )
    from senoscope.training.build import recipe_for

    return recipe_for(system, data, image_size=size, **changes)


def _print_recipes(recipes: dict[str, Path]) -> None:
    for name, path in recipes.items():
        first = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        typer.echo(f"{name:14} {first}")


def _report(folder: Path, recipe: Any, as_json: bool) -> None:
    import json

    history: list[dict[str, Any]] = [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    kept = history[-1] if recipe.keep == "last" else max(history, key=lambda row: row["score"])
    if as_json:
        typer.echo(json.dumps({"run": str(folder), "kept": kept}))
        return
    figures = ", ".join(
        f"{key} {kept[key]:.3f}" for key in ("dice", "box_iou", "auc", "accuracy") if key in kept
    )
    why = "the last" if recipe.keep == "last" else f"the best on {recipe.judge} images"
    typer.echo(f"Kept: epoch {kept['epoch']:.0f} of {len(history)}, {why} (there {figures}).")
    typer.echo(
        f"Run: {folder}   next: senoscope evaluate {folder}, or senoscope export {folder} --out BUNDLE"
    )

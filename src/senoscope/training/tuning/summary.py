"""What a search found: the best recipe, its trials as rows, and a picture."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from senoscope._files import atomic_path
from senoscope.errors import UsageError
from senoscope.training.recipe import Recipe, write_recipe
from senoscope.training.tuning.keys import with_values
from senoscope.training.tuning.search import BEST, PICTURE, Search, finished, folder_of


def write_summary(search: Search, study: optuna.Study) -> dict[str, Any]:
    """Write ``best.yaml`` and ``search.png``, and return the figures: best trial, counts, the five best.

    Raises ``UsageError`` if every trial was pruned or failed.
    """
    trials = finished(study)
    ranked = sorted(
        (trial for trial in trials if trial.state == TrialState.COMPLETE),
        key=lambda trial: (-(trial.value or 0.0), trial.number),
    )
    if not ranked and study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        raise UsageError(
            "every trial left is in another process's hands", fix="wait for it, or ask for more --trials"
        )
    if not ranked:
        raise UsageError(
            f"none of {len(trials)} trials was trained to the end",
            expected="one at least",
            fix="search a narrower range, such as lower lr, or more --trials",
        )
    recipe = search.out / BEST
    write_recipe(best_recipe(search.recipe, ranked[0]), recipe)
    with atomic_path(search.out / PICTURE) as temporary:
        _draw(search.space, trials, temporary)
    rows = [
        {
            "trial": trial.number,
            "score": trial.value,
            "params": trial.params,
            "run": str(folder_of(search.out, trial)),
        }
        for trial in ranked[:5]
    ]
    pruned = sum(trial.state == TrialState.PRUNED for trial in trials)
    failed = len(study.get_trials(deepcopy=False, states=(TrialState.FAIL,)))
    return {
        "out": str(search.out),
        "recipe": str(recipe),
        "picture": str(search.out / PICTURE),
        "trials": {"finished": len(trials), "pruned": pruned, "failed": failed},
        "best": rows[0],
        "top": rows,
    }


def best_recipe(recipe: Recipe, trial: FrozenTrial) -> Recipe:
    """The recipe with a trial's values, named after the search."""
    found = with_values(recipe, trial.params)
    return found.model_copy(update={"name": f"{recipe.name[:58]}-tuned"})


def _draw(space: dict[str, BaseDistribution], trials: list[FrozenTrial], path: Path) -> None:
    """The best score so far over the trials, and every score against each parameter."""
    from matplotlib.figure import Figure

    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    scores = [float(trial.value or 0.0) for trial in complete]
    columns = min(3, 1 + len(space))
    rows = -(-(1 + len(space)) // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    numbers = [trial.number for trial in complete]
    panels[0].plot(numbers, scores, "o", alpha=0.5, label="trial")
    panels[0].step(numbers, list(accumulate(scores, max)), where="post", label="best so far")
    for trial in trials:
        if trial.state == TrialState.PRUNED:
            panels[0].axvline(trial.number, color="0.9", zorder=0)
    panels[0].set(xlabel="trial (gray: pruned)", ylabel="validation score")
    panels[0].legend()
    for panel, (key, kind) in zip(panels[1:], space.items(), strict=False):
        values = [trial.params[key] for trial in complete]
        panel.scatter(
            [str(v) for v in values] if isinstance(kind, CategoricalDistribution) else values,
            scores,
            c=numbers,
            cmap="viridis",
        )
        if getattr(kind, "log", False):
            panel.set_xscale("log")
        panel.set(xlabel=key, ylabel="validation score")
    for panel in panels[1 + len(space) :]:
        panel.set_axis_off()
    for panel in panels[: 1 + len(space)]:
        panel.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=110)

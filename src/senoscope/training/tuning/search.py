"""The search: trials that train, in a folder that several processes may share and any interruption leaves whole."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from senoscope._locks import locked
from senoscope.errors import DivergedError, UsageError
from senoscope.training import loop, runs
from senoscope.training.recipe import Recipe
from senoscope.training.tuning.keys import with_values
from senoscope.training.tuning.samplers import make_sampler, population_for

STUDY, TRIALS, BEST, PICTURE = "study.db", "trials", "best.yaml", "search.png"

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_STUDY_NAME, _IDENTITY, _POPULATION, _FOLDER = "search", "search", "population", "folder"


@dataclass(frozen=True)
class Search:
    """One process's part in a search: the recipe, what is varied, and where it all lies."""

    recipe: Recipe
    space: dict[str, BaseDistribution]
    out: Path
    trials: int
    sampler: str = "tpe"
    seed: int = 0
    allow_leaks: bool = False
    progress: bool = False

    def run(self, on_trial: Callable[[optuna.Study, FrozenTrial], None] | None = None) -> optuna.Study:
        """Train until ``trials`` are finished (pruned ones count), in this and other processes on the same folder.

        A trial that was interrupted is taken up where it stopped. Raises ``UsageError`` if ``out`` holds another
        search, and what a training raises; a training whose loss is no longer a number is a pruned trial instead.
        """
        if self.recipe.devices > 1:
            raise UsageError(
                f"the recipe trains on {self.recipe.devices} devices",
                expected="one device per trial",
                fix="set devices: 1 and start the same command once per device",
            )
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with _exclusive(self.out):
                study = self._open()
            while (begun := self._begin(study)) is not None:
                trial, lock = begun
                with lock:
                    self._train(study, trial)
                if on_trial is not None:
                    on_trial(study, study.get_trials(deepcopy=False)[trial.number])
        finally:
            optuna.logging.set_verbosity(level)
        return study

    def _open(self) -> optuna.Study:
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{self.out / STUDY}", engine_kwargs={"connect_args": {"timeout": 60}}
        )
        study = optuna.create_study(
            storage=storage, study_name=_STUDY_NAME, direction="maximize", load_if_exists=True
        )
        identity = json.dumps(
            {
                "recipe": self.recipe.model_dump(mode="json"),
                "space": {key: json.loads(distribution_to_json(kind)) for key, kind in self.space.items()},
            },
            sort_keys=True,
        )
        held = study.user_attrs.get(_IDENTITY)
        if held is None:
            study.set_user_attr(_POPULATION, population_for(self.trials))
            study.set_user_attr(_IDENTITY, identity)
        elif held != identity:
            raise UsageError(
                f"{self.out} holds another search: {_difference(json.loads(held), json.loads(identity))}",
                expected="the recipe and the --search it was started with",
                fix="go on with those, or name another --out",
            )
        population = int(study.user_attrs[_POPULATION])
        study.sampler = make_sampler(self.sampler, self.trials, self.seed, population)
        # A first quarter of the epochs says little: the averaged weights have yet to catch up.
        study.pruner = optuna.pruners.MedianPruner(n_warmup_steps=self.recipe.epochs // 4)
        return study

    def _begin(self, study: optuna.Study) -> tuple[optuna.trial.Trial, Any] | None:
        """The next trial with its lock held, or None if enough are finished or in other processes' hands."""
        with _exclusive(self.out):
            running = 0
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                lock = _try_lock(self.out / TRIALS / f".{trial.number}.lock")
                if lock is None:
                    running += 1
                    continue
                with lock:  # nobody holds it: whoever trained it is gone
                    study.tell(trial.number, state=TrialState.FAIL)
                    folder = trial.user_attrs.get(_FOLDER, str(trial.number))
                    study.enqueue_trial(trial.params, user_attrs={_FOLDER: folder})
            if len(finished(study)) + running >= self.trials:
                return None
            begun = study.ask(self.space)
            lock = _try_lock(self.out / TRIALS / f".{begun.number}.lock")
            assert lock is not None  # noqa: S101 - the number is new
            return begun, lock

    def _train(self, study: optuna.Study, trial: optuna.trial.Trial) -> None:
        folder = folder_of(self.out, trial)
        reported: set[int] = set()

        def report(row: dict[str, float]) -> None:
            epoch = int(row["epoch"])
            if epoch not in reported:
                reported.add(epoch)
                trial.report(row["score"], epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        try:
            for row in _history(folder):
                report(row)
            loop.train(
                with_values(self.recipe, trial.params),
                folder,
                resume=(folder / runs.RECIPE).is_file(),
                allow_leaks=self.allow_leaks,
                progress=self.progress,
                on_epoch=report,
            )
            study.tell(trial, _score(self.recipe, folder))
        except (optuna.TrialPruned, DivergedError):
            study.tell(trial, state=TrialState.PRUNED)
        except Exception:  # an interrupt leaves the trial open instead, to be taken up again
            study.tell(trial, state=TrialState.FAIL)
            raise
        (folder / runs.STATE).unlink(missing_ok=True)  # large, and only of use to a run that goes on


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: trained to the end, or pruned."""
    return study.get_trials(deepcopy=False, states=_FINISHED)


def folder_of(out: Path, trial: optuna.trial.Trial | FrozenTrial) -> Path:
    """Where a trial's run lies; a trial that was taken up again lies where it was begun."""
    return out / TRIALS / str(trial.user_attrs.get(_FOLDER, trial.number))


def _score(recipe: Recipe, folder: Path) -> float:
    """The validation score of the epoch that the recipe keeps: the best, or the last."""
    scores = [row["score"] for row in _history(folder)]
    return float(scores[-1] if recipe.keep == "last" else max(scores))


def _history(folder: Path) -> list[dict[str, float]]:
    path = folder / runs.METRICS
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    )


def _difference(held: dict[str, Any], given: dict[str, Any]) -> str:
    if held["space"] != given["space"]:
        return "it varies " + ", ".join(held["space"]) + " over other values or not these keys alone"
    old, new = held["recipe"], given["recipe"]
    return "its recipe has another " + ", ".join(key for key in new if old.get(key) != new[key])


def _exclusive(out: Path) -> AbstractContextManager[None]:
    """Hold the whole folder for a moment, waiting for other processes to leave it."""
    return locked(out / ".lock", wait=True)


def _try_lock(path: Path) -> Any:
    """An open file that is locked until it is closed or its process ends; None if another holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle

"""The samplers on functions with known optima, the search space, and the search around a training that is free."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from senoscope.errors import ConfigError, DivergedError, UsageError
from senoscope.training import loop, runs
from senoscope.training.recipe import Recipe, make_recipe, read_recipe, write_recipe
from senoscope.training.tuning.grey_wolf import GreyWolfSampler
from senoscope.training.tuning.keys import parse_space, with_values
from senoscope.training.tuning.parrot import ParrotSampler, levy
from senoscope.training.tuning.population import Member, PopulationSampler, Swarm
from senoscope.training.tuning.samplers import make_sampler
from senoscope.training.tuning.search import Search, finished
from senoscope.training.tuning.space import Cube
from senoscope.training.tuning.summary import write_summary

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACE = {
    "c": CategoricalDistribution(["adam", "sgd", None]),
    "f": FloatDistribution(-2.0, 6.0),
    "i": IntDistribution(1, 4),
    "l": FloatDistribution(1e-4, 1.0, log=True),
    "s": FloatDistribution(0.0, 1.0, step=0.25),
    "w": IntDistribution(2, 64, log=True),
}


# --- the cube -------------------------------------------------------------------------------------------


def test_cube_by_hand() -> None:
    cube = Cube(SPACE)
    params = {"c": "sgd", "f": 0.0, "i": 4, "l": 1e-2, "s": 0.5, "w": 8}
    point = cube.encode(params)
    # i: 4 within 0.5..4.5; w: log 8 within log 1.5 .. log 64.5
    w = 2 * math.log(8 / 1.5) / math.log(64.5 / 1.5) - 1
    assert point.tolist() == pytest.approx([-1, 1, -1, -0.5, 2 * 3.5 / 4 - 1, 0.0, 0.0, w])
    assert cube.decode(point) == pytest.approx(params)


def test_cube_gives_every_whole_number_an_equal_share_and_keeps_within_bounds() -> None:
    cube = Cube({"i": SPACE["i"]})
    drawn = [cube.decode(np.array([x]))["i"] for x in np.linspace(-0.999, 0.999, 400)]
    assert [drawn.count(value) for value in (1, 2, 3, 4)] == pytest.approx([100] * 4, abs=1)
    everywhere = Cube(SPACE)
    for corner in (-9.0, 9.0):
        params = everywhere.decode(np.full(everywhere.size, corner))
        assert all(SPACE[key]._contains(SPACE[key].to_internal_repr(params[key])) for key in SPACE)
    assert Cube({"f": FloatDistribution(3.0, 3.0)}).decode(np.array([0.7])) == {"f": 3.0}


# --- the samplers ---------------------------------------------------------------------------------------

FUNCTIONS: dict[str, tuple[Callable[[float, float], float], tuple[float, float]]] = {
    # Optimum 0 at (0, 0), Rosenbrock's at (1, 1); never at the centre of the bounds, which Grey Wolf leans to.
    "sphere": (lambda x, y: x * x + y * y, (-3, 7)),
    "rosenbrock": (lambda x, y: 100 * (y - x * x) ** 2 + (1 - x) ** 2, (-2.5, 3.5)),
    "rastrigin": (lambda x, y: 20 + sum(v * v - 10 * math.cos(2 * math.pi * v) for v in (x, y)), (-3, 7)),
    "ackley": (
        lambda x, y: (
            20
            + math.e
            - 20 * math.exp(-0.2 * math.sqrt((x * x + y * y) / 2))
            - math.exp((math.cos(2 * math.pi * x) + math.cos(2 * math.pi * y)) / 2)
        ),
        (-3, 7),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("kind", "trials", "tolerance"),
    [
        (GreyWolfSampler, 200, {"sphere": 0.001, "rosenbrock": 0.5, "rastrigin": 1.5, "ackley": 0.1}),
        (ParrotSampler, 400, {"sphere": 0.05, "rosenbrock": 0.15, "rastrigin": 2.0, "ackley": 0.6}),
    ],
)
def test_sampler_comes_near_the_optimum_and_beats_random_search(
    kind: type[PopulationSampler], trials: int, tolerance: dict[str, float], name: str
) -> None:
    """The median of three seeds, after a stated number of trials."""
    function, bounds = FUNCTIONS[name]

    def best(seed: int) -> float:
        study = optuna.create_study(sampler=kind(10, trials // 10, seed))
        study.optimize(
            lambda t: function(t.suggest_float("x", *bounds), t.suggest_float("y", *bounds)), n_trials=trials
        )
        return study.best_value

    drawn = (np.random.default_rng(seed).uniform(*bounds, (trials, 2)) for seed in range(3))
    random = statistics.median(min(function(*pair) for pair in pairs) for pairs in drawn)
    found = statistics.median(best(seed) for seed in range(3))
    assert found < tolerance[name]
    assert found < random


def quadratic(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("c", ["a", "b", "c"])
    rate = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    width = trial.suggest_int("width", 1, 100)
    return (math.log10(rate) + 3) ** 2 + ((width - 30) / 30) ** 2 + (kind != "b")


@pytest.mark.parametrize("kind", [GreyWolfSampler, ParrotSampler])
def test_sampler_handles_every_kind_of_parameter_and_goes_on(
    kind: type[PopulationSampler], tmp_path: Path
) -> None:
    whole = optuna.create_study(sampler=kind(6, 4, seed=4))
    whole.optimize(quadratic, n_trials=24)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    for count in (10, 14):  # as if the program had been stopped in between
        cut = optuna.create_study(
            storage=storage, study_name="s", sampler=kind(6, 4, seed=4), load_if_exists=True
        )
        cut.optimize(quadratic, n_trials=count)
    assert [trial.params for trial in cut.trials] == [trial.params for trial in whole.trials]
    other = optuna.create_study(sampler=kind(6, 10, seed=5))
    other.optimize(quadratic, n_trials=3)
    assert other.trials[2].params != whole.trials[2].params


@pytest.mark.parametrize("kind", [GreyWolfSampler, ParrotSampler])
def test_several_workers_with_one_seed_draw_different_trials(kind: type[PopulationSampler]) -> None:
    study = optuna.create_study(direction="maximize", sampler=kind(4, 5, seed=1))
    open_trials = [study.ask() for _ in range(3)]
    values = [-quadratic(trial) for trial in open_trials]
    assert len({trial.params["lr"] for trial in open_trials}) == 3
    for trial, value in zip(open_trials[::-1], values[::-1], strict=True):
        study.tell(trial, value)
    study.tell(study.ask(), state=TrialState.FAIL)
    study.optimize(lambda trial: -quadratic(trial), n_trials=16)
    open_trials = [study.ask() for _ in range(4)]
    rates = {trial.suggest_float("lr", 1e-5, 1e-1, log=True) for trial in open_trials}
    assert len(rates) == 4, "in a later generation too"
    if kind is GreyWolfSampler:  # the parrots need more trials than this
        assert study.best_value > max(values)


def test_grey_wolf_move_by_hand() -> None:
    class Halves(np.random.Generator):
        def random(self, size: Any = None, *_: Any, **__: Any) -> Any:
            return np.full(size, 0.75)

    rng = Halves(np.random.PCG64(0))
    leaders = [np.array([0.2]), np.array([0.4]), np.array([-0.6])]
    sampler = GreyWolfSampler(10, 11)  # ten moves
    swarm = Swarm({0: Member(np.array([0.5]), 1.0)}, leaders, progress=0.6)
    # a = 2·(1 - 5/10) = 1 at the sixth move, A = 2·1·0.75 - 1 = 0.5, C = 1.5: X' = X_l - 0.5·|1.5·X_l - 0.5|
    by_hand = np.mean([0.2 - 0.5 * 0.2, 0.4 - 0.5 * 0.1, -0.6 - 0.5 * 1.4])
    assert sampler.move(swarm, 0, rng, rng).tolist() == pytest.approx([by_hand])
    alone = Swarm(swarm.members, leaders[:1], progress=0.6)
    assert sampler.move(alone, 0, rng, rng).tolist() == pytest.approx([0.1])


def test_levy_steps_have_mantegnas_spread() -> None:
    steps = levy(200_000, np.random.default_rng(0))
    # the numerator's standard deviation for β = 1.5 is 0.6966; |v| has median 0.6745, and tails are heavy
    assert np.median(np.abs(steps)) == pytest.approx(0.6, abs=0.1)
    assert 0.005 < float((np.abs(steps) > 10).mean()) < 0.03


def test_sampler_refuses_two_objectives() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=GreyWolfSampler())
    with pytest.raises(ValueError, match="multi-objective"):
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=1)


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_optunas_samplers_are_seeded_by_the_trials_number(name: str) -> None:
    whole = optuna.create_study(sampler=make_sampler(name, 14, 3, 4))
    whole.optimize(quadratic, n_trials=14)
    cut = optuna.create_study(sampler=make_sampler(name, 14, 3, 4))
    cut.optimize(quadratic, n_trials=12)
    cut.sampler = make_sampler(name, 14, 3, 4)
    cut.optimize(quadratic, n_trials=2)
    assert [trial.params for trial in cut.trials] == [trial.params for trial in whole.trials]
    assert len({trial.params["lr"] for trial in whole.trials}) == 14


# --- what is searched -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe(small: dict[str, Any]) -> Recipe:
    return make_recipe(small)


def test_space_is_read(recipe: Recipe) -> None:
    texts = ["lr=1e-5..1e-2:log", "batch=8,16", "weight_decay=0..1", "epochs=2..9", "augment.blur=0..0.5"]
    assert parse_space([*texts, "optimizer=adamw, sgd", "mirror=true,false"], recipe) == {
        "lr": FloatDistribution(1e-5, 1e-2, log=True),
        "batch": CategoricalDistribution([8, 16]),
        "weight_decay": FloatDistribution(0, 1),
        "epochs": IntDistribution(2, 9),
        "augment.blur": FloatDistribution(0, 0.5),
        "optimizer": CategoricalDistribution(["adamw", "sgd"]),
        "mirror": CategoricalDistribution([True, False]),
    }
    found = with_values(recipe, {"augment.blur": 0.25, "batch": 3})
    assert (found.augment.blur, found.augment.flip, found.batch) == (0.25, recipe.augment.flip, 3)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("lrr=1e-5..1e-2", UsageError, "'lr'"),
        ("augment.blurr=0..1", UsageError, "'augment.blur'"),
        ("options.widht=4..8", UsageError, "option of senoscope-us"),
        ("lr", UsageError, "is no search"),
        ("lr=1e-2..1e-5", UsageError, "lower end first"),
        ("lr=0..1e-2:log", UsageError, "above 0"),
        ("lr=a..b", UsageError, "is no range"),
        ("lr=1e-5..1e-2:lin", UsageError, "is no range"),
        ("lr=1e-3", UsageError, "nothing to choose"),
        ("batch=8,8", UsageError, "nothing to choose"),
        ("batch=2.5..8", UsageError, "whole numbers"),
        ("optimizer=1..2", UsageError, "adamw, adam, sgd"),
        ("optimizer=adamw,adamm", ConfigError, "adamm"),
        ("lr=0.1..5", ConfigError, "less than or equal to 1"),
        ("seed=0..9", UsageError, "validation images"),
        ("valid_fraction=0.1..0.2", UsageError, "validation images"),
        ("augment=1,2", UsageError, "key of a recipe"),
    ],
)
def test_a_wrong_search_says_why(text: str, kind: type[Exception], message: str, recipe: Recipe) -> None:
    with pytest.raises(kind, match=message):
        parse_space([text], recipe)


def test_nothing_and_twice_are_refused(recipe: Recipe) -> None:
    with pytest.raises(UsageError, match="nothing to search"):
        parse_space([], recipe)
    with pytest.raises(UsageError, match="twice"):
        parse_space(["lr=0.1..0.2", "lr=0.1..0.3"], recipe)


# --- the search -----------------------------------------------------------------------------------------


class FakeTraining:
    """Stands in for ``train``: scores follow a formula with its best at lr 1e-3; it can stop where it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool, float]] = []
        self.stop_at: dict[int, BaseException] = {}

    def __call__(
        self,
        recipe: Recipe,
        out: Path,
        *,
        resume: bool = False,
        allow_leaks: bool = False,
        progress: bool = True,
        on_epoch: Callable[[dict[str, float]], None] | None = None,
    ) -> Path:
        self.calls.append((out.name, resume, recipe.lr))
        out.mkdir(parents=True, exist_ok=True)
        assert resume == (out / runs.RECIPE).is_file()
        write_recipe(recipe, out / runs.RECIPE)
        (out / runs.STATE).write_bytes(b"large")
        path = out / runs.METRICS
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        while len(rows) < recipe.epochs:
            epoch = len(rows) + 1
            top = 1 - 0.1 * abs(math.log10(recipe.lr) + 3)
            rows.append({"epoch": float(epoch), "score": top - 0.01 * abs(epoch - 2)})  # best in epoch 2
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            if len(self.calls) in self.stop_at and epoch == 2:
                raise self.stop_at[len(self.calls)]
            if on_epoch is not None:
                on_epoch(rows[-1])
        return out


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining()
    monkeypatch.setattr(loop, "train", fake)
    return fake


def job(recipe: Recipe, out: Path, trials: int, **changes: Any) -> Search:
    space = changes.pop("space", ["lr=1e-5..1e-1:log"])
    return Search(recipe, parse_space(space, recipe), out, trials, **changes)


def test_search_finds_the_best_rate_and_writes_its_recipe(
    recipe: Recipe, tmp_path: Path, training: FakeTraining
) -> None:
    search = job(recipe, tmp_path, 9, sampler="grey-wolf", space=["lr=1e-5..1e-1:log", "batch=2,4"])
    found = write_summary(search, search.run())
    assert found["trials"]["finished"] == 9
    top = 1 - 0.1 * abs(math.log10(found["best"]["params"]["lr"]) + 3)
    assert found["best"]["score"] == pytest.approx(top), "the best epoch's score, not the last one's"
    assert found["best"]["score"] == max(row["score"] for row in found["top"])
    best = read_recipe(tmp_path / "best.yaml")
    assert best.name == "small-tuned"
    assert best == with_values(recipe, found["best"]["params"]).model_copy(update={"name": best.name})
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("trials/*/state.safetensors"))
    before = len(training.calls)
    assert write_summary(search, search.run()) == found, "the same command again does nothing more"
    assert len(training.calls) == before


def test_poor_trials_are_pruned_and_count(recipe: Recipe, tmp_path: Path, training: FakeTraining) -> None:
    study = job(recipe, tmp_path, 16, sampler="random").run()
    pruned = [trial for trial in finished(study) if trial.state == TrialState.PRUNED]
    complete = [trial for trial in finished(study) if trial.state == TrialState.COMPLETE]
    assert len(complete) + len(pruned) == 16
    assert pruned
    assert max(trial.value or 0 for trial in complete) > max(trial.value or 0 for trial in pruned)


def test_the_last_epochs_score_counts_where_the_recipe_keeps_it(
    recipe: Recipe, tmp_path: Path, training: FakeTraining
) -> None:
    last = recipe.model_copy(update={"keep": "last"})
    study = job(last, tmp_path, 1).run()
    rate = study.best_params["lr"]
    assert study.best_value == pytest.approx(1 - 0.1 * abs(math.log10(rate) + 3) - 0.01)


def test_an_interrupted_trial_is_taken_up_where_it_stopped(
    recipe: Recipe, tmp_path: Path, training: FakeTraining
) -> None:
    training.stop_at = {3: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        job(recipe, tmp_path, 4).run()
    study = job(recipe, tmp_path, 4).run()
    assert len(finished(study)) == 4
    folder, _, rate = training.calls[2]
    assert training.calls[3] == (folder, True, rate)
    taken_up = next(trial for trial in finished(study) if trial.user_attrs.get("folder") == folder)
    assert taken_up.params == {"lr": rate}
    assert sorted(taken_up.intermediate_values) == [1, 2, 3], "epochs of before are reported too"


def test_a_diverged_training_is_a_pruned_trial_and_an_error_stops(
    recipe: Recipe, tmp_path: Path, training: FakeTraining
) -> None:
    training.stop_at = {1: DivergedError("the loss is no longer a number"), 3: ConfigError("no such thing")}
    with pytest.raises(ConfigError):
        job(recipe, tmp_path, 3).run()
    study = job(recipe, tmp_path, 3).run()
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "COMPLETE", "FAIL", "COMPLETE"]


def test_all_diverged_is_said(recipe: Recipe, tmp_path: Path, training: FakeTraining) -> None:
    training.stop_at = {1: DivergedError("the loss is no longer a number")}
    search = job(recipe, tmp_path, 1)
    with pytest.raises(UsageError, match="none of 1 trials"):
        write_summary(search, search.run())


def test_another_search_in_the_folder_is_refused(
    recipe: Recipe, tmp_path: Path, training: FakeTraining
) -> None:
    job(recipe, tmp_path, 1).run()
    with pytest.raises(UsageError, match="it varies lr"):
        job(recipe, tmp_path, 2, space=["lr=1e-4..1e-1:log"]).run()
    with pytest.raises(UsageError, match="its recipe has another epochs"):
        job(recipe.model_copy(update={"epochs": 9}), tmp_path, 2).run()
    with pytest.raises(UsageError, match="one device"):
        job(recipe.model_copy(update={"devices": 2}), tmp_path, 2).run()
    assert len(finished(job(recipe, tmp_path, 2, sampler="parrot").run())) == 2, "another sampler may go on"


def test_a_trial_in_another_process_is_left_alone(
    recipe: Recipe, tmp_path: Path, training: FakeTraining
) -> None:
    outer = job(recipe, tmp_path, 3)
    inner: list[int] = []

    def train(chosen: Recipe, out: Path, **words: Any) -> Path:
        if out.name == "1" and not inner:
            inner.append(1)
            study = job(recipe, tmp_path, 3).run()  # as another process, while trial 1 is open and locked
            assert [t.state.name for t in study.trials] == ["COMPLETE", "RUNNING", "COMPLETE"]
        return training(chosen, out, **words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train", train)
        study = outer.run()
    assert inner
    assert [t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in study.trials] == [True] * 3
    assert [name for name, _, _ in training.calls] == ["0", "2", "1"]

"""The training loop: Lightning Fabric, mixed precision, averaged weights, and a resume that is exact.

Every batch is a function of (seed, epoch, step) alone. A run killed at any moment and resumed repeats the epoch it
was in and, on a CPU with the same number of threads, ends with the same bits as a run that was never stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from senoscope.errors import ConfigError, DivergedError, UsageError
from senoscope.models.blocks.encoder import quicken
from senoscope.models.interface import FittedSystem, System
from senoscope.schema import CLASSES
from senoscope.training import runs
from senoscope.training.balancing import Balancer, make_balancer
from senoscope.training.batches import Batches
from senoscope.training.build import build_system, check_needs
from senoscope.training.checkpoint import State, load_state, save_state
from senoscope.training.data import UNKNOWN, Arrays, Parts, collect, prepare
from senoscope.training.lineage import require_unseen
from senoscope.training.losses import class_weights
from senoscope.training.memory import kept_memory
from senoscope.training.objective import Targets, fixed_weights, task_losses
from senoscope.training.optim import (
    Average,
    clip_gradients,
    finite,
    learning_rate,
    make_optimizer,
    shared_weights,
)
from senoscope.training.recipe import Recipe
from senoscope.training.validate import validate

OnEpoch = Callable[[dict[str, float]], None]


@dataclass
class Trainer:
    """What a training holds while it runs."""

    fabric: Fabric
    model: Any
    balancer: Balancer
    optimizer: Any
    weights: Tensor  # of the classes
    average: State
    best: State
    best_score: float = -np.inf
    best_epoch: int = 0
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def progress(self) -> dict[str, Any]:
        """The part of the state that is not tensors."""
        return {
            "epoch": self.epoch,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "history": self.history,
        }


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    allow_leaks: bool = False,
    progress: bool = True,
    on_epoch: OnEpoch | None = None,
) -> Path:
    """Train a recipe into the run folder ``out`` and return it.

    ``weights.safetensors`` are the averaged weights of the epoch with the best validation score (or of the last, if
    the recipe says so); the test fold is never looked at. ``on_epoch`` is called with each finished epoch's row of
    ``metrics.jsonl``; what it raises ends the training. Raises ``UsageError`` if ``out`` holds another run,
    ``ConfigError``, ``DatasetError``, ``LeakageError`` or ``WeightsError`` for what the recipe names.
    """
    parts = collect(recipe, allow_leaks=allow_leaks)
    if not parts.train or not parts.judge:
        raise UsageError(
            f"{len(parts.train)} training images, and {len(parts.judge)} {recipe.judge} images to choose the epoch on",
            expected="both at least one",
            fix="name more data in the recipe",
        )
    check_needs(recipe, parts.train)
    if recipe.init_weights:
        require_unseen(parts, recipe.init_weights, allow=allow_leaks)
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads or threads)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng())
            stack.enter_context(kept_memory())
            torch.manual_seed(recipe.seed)
            system = build_system(recipe)  # weights that do not fit are refused before a file is written
            if runs.is_leader():
                stack.enter_context(runs.locked(out))
                runs.open_run(out, recipe, parts, resume=resume)
            _train(recipe, system, parts, out, progress, on_epoch)
    finally:
        torch.set_num_threads(threads)
    return out


def _train(
    recipe: Recipe, system: System, parts: Parts, out: Path, progress: bool, on_epoch: OnEpoch | None
) -> None:
    fabric = Fabric(devices=recipe.devices, precision=recipe.precision)
    fabric.launch()
    show = progress and fabric.is_global_zero
    arrays = prepare(
        parts.train,
        recipe.preprocess.model_copy(update={"size": recipe.source_size or recipe.preprocess.size}),
        sources=[source.name for source in recipe.data],
        phantoms=recipe.phantoms,
        seed=recipe.seed,
        progress=show,
    )
    judge = prepare(parts.judge, recipe.preprocess, progress=show)
    shares = wanted_shares(recipe, arrays)  # what it refuses is refused before the hours of training
    trainer = _start(recipe, system, fabric, arrays)
    state = out / runs.STATE
    if state.is_file():
        saved = load_state(
            state, trainer.model.module, trainer.average, trainer.best, trainer.optimizer, trainer.balancer
        )
        for name, value in saved.items():
            setattr(trainer, name, value)
    busy = fabric.device.type == "cpu" and torch.get_num_threads() >= _cores()
    batches = Batches(recipe, arrays, fabric.global_rank, fabric.world_size, ahead=not busy)
    with _bar(show, trainer.epoch * batches.steps, recipe.epochs * batches.steps) as advance:
        while trainer.epoch < recipe.epochs and trainer.epoch - trainer.best_epoch < recipe.patience:
            trainer.model.module.begin_epoch(trainer.epoch, recipe.epochs)
            row = _epoch(recipe, trainer, batches, advance)
            trainer.balancer.end_epoch()
            row |= validate(trainer.model, trainer.average, judge, recipe.batch, mask_given=recipe.mask_given)
            _finish_epoch(recipe, trainer, row, out)
            advance(0, f"epoch {trainer.epoch} · score {row['score']:.3f} · best {trainer.best_score:.3f}")
            if on_epoch is not None:
                on_epoch(row)
    if fabric.is_global_zero:
        runs.close_run(out, _finished(recipe, trainer, arrays, shares), trainer.history)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finished(recipe: Recipe, trainer: Trainer, arrays: Arrays, shares: Tensor | float) -> State:
    """The chosen weights with class weights undone and, where the last stage is fitted, fitted."""
    state = unweighted(trainer, shares)
    module = trainer.model.module
    if isinstance(module, FittedSystem):
        module.fit(*_features(module, arrays, recipe.batch), recipe.seed)
        state = {k: v.detach().clone() for k, v in module.state_dict().items()}
    return state


@torch.no_grad()
def _features(module: FittedSystem, arrays: Arrays, batch: int) -> tuple[Any, Any]:
    """Features of the training images as they are, and their labels, where known."""
    module.eval()
    known = np.flatnonzero(arrays.labels != UNKNOWN)
    device = next(module.parameters()).device
    found = []
    for start in range(0, len(known), batch):
        images = torch.from_numpy(arrays.images[known[start : start + batch]]).float().div_(255).unsqueeze(1)
        found.append(module.features(images.to(device)).float().cpu().numpy())
    return np.concatenate(found), arrays.labels[known]


def unweighted(trainer: Trainer, shares: Tensor | float = 1.0) -> State:
    """The chosen weights, with what the class weights did to the logits undone.

    Cross-entropy with weights w learns p(c|x)·w_c up to a factor; subtracting log w_c gives back probabilities for
    the classes' natural shares (Elkan 2001, theorem 2), and adding log s_c turns them into those for shares that are
    s_c times the natural ones.
    """
    module = trainer.model.module
    module.load_state_dict(trainer.best)
    module.shift_classes(torch.log(torch.as_tensor(shares).to(trainer.weights) / trainer.weights))
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def wanted_shares(recipe: Recipe, arrays: Arrays) -> Tensor | float:
    """The class shares in the dataset of ``shares_of``, as multiples of those among all that is drawn in an epoch.

    Raises ``ConfigError`` if the recipe has no such dataset, or the dataset not all the classes that others have.
    """
    if recipe.shares_of is None:
        return 1.0
    names = [source.name for source in recipe.data]
    if recipe.shares_of not in names:
        raise ConfigError(f"shares_of = '{recipe.shares_of}'", expected="one of " + ", ".join(names))
    drawn = np.array([*(source.share for source in recipe.data), 1.0])[arrays.source]
    known = arrays.labels != UNKNOWN
    own = known & (arrays.source == names.index(recipe.shares_of))
    wanted = np.bincount(arrays.labels[own], minlength=len(CLASSES)) / own.sum()
    found = np.bincount(arrays.labels[known], drawn[known], len(CLASSES)) / drawn[known].sum()
    if (wanted[found > 0] == 0).any():
        raise ConfigError(f"{recipe.shares_of} lacks a class", expected="every class of the training images")
    return torch.tensor(np.where(found > 0, wanted / np.maximum(found, 1e-12), 1.0), dtype=torch.float32)


def _start(recipe: Recipe, system: System, fabric: Fabric, arrays: Arrays) -> Trainer:
    model: Any = quicken(system).to(memory_format=torch.channels_last)
    balancer = make_balancer(recipe.balancing, _tasks(recipe), fixed_weights(recipe)).to(fabric.device)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    model, optimizer = fabric.setup(model, make_optimizer(model, balancer, recipe))
    average = {k: v.to(fabric.device) for k, v in average.items()}
    power = recipe.balance if recipe.sampling == "natural" else 0.0  # one cure for imbalance at a time
    weights = class_weights(arrays.labels, len(CLASSES), power).to(fabric.device)
    best = {k: v.clone() for k, v in average.items()}
    return Trainer(fabric, model, balancer, optimizer, weights, average, best)


def _tasks(recipe: Recipe) -> tuple[str, ...]:
    from senoscope import models

    gives = models.info(recipe.system).facts["gives"]
    parts = {"class_logits": "class", "mask_logits": "mask", "contour_logits": "contour", "boxes": "box"}
    return tuple(task for key, task in parts.items() if key in gives)


def _epoch(recipe: Recipe, trainer: Trainer, batches: Batches, advance: Any) -> dict[str, float]:
    trainer.model.train()
    module, fabric, steps = trainer.model.module, trainer.fabric, batches.steps
    average = Average(trainer.average, module.state_dict())  # the tensors themselves, changed in place
    started, seen, totals = time.perf_counter(), 0, dict[str, Tensor]()
    for step, batch in enumerate(batches.epoch(trainer.epoch)):
        images, masks, has_mask, labels = batch.to(fabric.device)
        rate = learning_rate(recipe, trainer.epoch * steps + step, steps)
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        torch.manual_seed(hash((recipe.seed, trainer.epoch, step)) & 0x7FFFFFFF)  # dropout
        outputs = trainer.model(images, mask=masks) if module.uses_mask else trainer.model(images)
        losses = task_losses(module, outputs, Targets(masks, has_mask, labels), recipe, trainer.weights)
        loss = trainer.balancer(losses, shared_weights(module) if recipe.balancing == "gradnorm" else None)
        trainer.optimizer.zero_grad()
        fabric.backward(loss)
        if recipe.precision == "16-mixed":  # they are scaled, and unscaled here
            fabric.clip_gradients(trainer.model, trainer.optimizer, max_norm=recipe.clip)
        else:
            clip_gradients(module.parameters(), recipe.clip)
        trainer.optimizer.step()
        decay = min(recipe.ema, (1 + trainer.epoch * steps + step) / (10 + trainer.epoch * steps + step))
        average.step(decay)
        for name, value in {"loss": loss, **{f"{task}_loss": v for task, v in losses.items()}}.items():
            totals[name] = totals.get(name, torch.zeros(())) + value.detach().float().cpu()
        seen += len(images)
        advance(1)
    average.finish()
    if not all(finite(total) for total in totals.values()):
        raise DivergedError(
            f"the loss is no longer a number in epoch {trainer.epoch + 1}",
            fix="lower lr or clip in the recipe and train again",
        )
    seconds = time.perf_counter() - started
    row = {
        "epoch": float(trainer.epoch + 1),
        **{name: float(total) / steps for name, total in totals.items()},
    }
    if recipe.balancing != "fixed":
        row |= {f"{task}_weight": value for task, value in trainer.balancer.weights().items()}
    return row | {"lr": rate, "images_per_second": seen * fabric.world_size / seconds}


def _finish_epoch(recipe: Recipe, trainer: Trainer, row: dict[str, float], out: Path) -> None:
    trainer.epoch += 1
    trainer.history.append(row)
    if recipe.keep == "last" or row["score"] > trainer.best_score:
        trainer.best_score, trainer.best_epoch = row["score"], trainer.epoch
        trainer.best = {k: v.clone() for k, v in trainer.average.items()}
    if trainer.fabric.is_global_zero:
        save_state(
            out / runs.STATE,
            trainer.model.module,
            trainer.average,
            trainer.best,
            trainer.optimizer,
            trainer.balancer,
            trainer.progress,
        )
        runs.write_history(out, trainer.history)


@contextmanager
def _bar(show: bool, done: int, total: int) -> Iterator[Any]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not show) as bar:
        task = bar.add_task("training", total=total, completed=done)

        def advance(steps: int, text: str | None = None) -> None:
            bar.update(task, advance=steps, description=text)

        yield advance

"""The training loop: Lightning Fabric, mixed precision, averaged weights, and a resume that is exact.

Every batch is a function of (seed, epoch, step) alone. A run killed at any moment and resumed repeats the epoch it
was in and, on a CPU with the same number of threads, ends with the same bits as a run that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from torch import Tensor, nn

from senoscope.errors import UsageError
from senoscope.models import create_model
from senoscope.schema import CLASSES
from senoscope.training import runs
from senoscope.training.augment import augment
from senoscope.training.checkpoint import State, load_state, load_weights, read_tensors, save_state
from senoscope.training.data import Arrays, Parts, collect, prepare
from senoscope.training.losses import class_loss, class_weights, mask_loss
from senoscope.training.recipe import Recipe
from senoscope.training.validate import validate


@dataclass
class Trainer:
    """What a training holds while it runs."""

    fabric: Fabric
    model: Any
    optimizer: Any
    weights: Tensor  # of the classes
    average: State
    best: State
    best_score: float = -math.inf
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
    recipe: Recipe, out: Path, *, resume: bool = False, allow_leaks: bool = False, progress: bool = True
) -> Path:
    """Train a recipe into the run folder ``out`` and return it.

    ``weights.safetensors`` are the averaged weights of the epoch with the best validation score (or of the last, if
    the recipe says so); the test fold is never looked at. Raises ``UsageError`` if ``out`` holds another run, ``ConfigError``, ``DatasetError``,
    ``LeakageError`` or ``WeightsError`` for what the recipe names.
    """
    parts = collect(recipe, allow_leaks=allow_leaks)
    if not parts.train or not parts.valid:
        raise UsageError(
            f"{len(parts.train)} training and {len(parts.valid)} validation images",
            expected="both at least one",
            fix="name more data in the recipe",
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads or threads)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng())
            if runs.is_leader():
                stack.enter_context(runs.locked(out))
                runs.open_run(out, recipe, parts, resume=resume)
            _train(recipe, parts, out, progress)
    finally:
        torch.set_num_threads(threads)
    return out


def _train(recipe: Recipe, parts: Parts, out: Path, progress: bool) -> None:
    fabric = Fabric(devices=recipe.devices, precision=recipe.precision)
    fabric.launch()
    show = progress and fabric.is_global_zero
    arrays = prepare(
        parts.train, recipe.preprocess, phantoms=recipe.phantoms, seed=recipe.seed, progress=show
    )
    valid = prepare(parts.valid, recipe.preprocess, progress=show)
    trainer = _start(recipe, fabric, arrays)
    state = out / runs.STATE
    if state.is_file():
        saved = load_state(state, trainer.model.module, trainer.average, trainer.best, trainer.optimizer)
        for name, value in saved.items():
            setattr(trainer, name, value)
    steps = math.ceil(len(arrays) / (recipe.batch * fabric.world_size))
    with _bar(show, trainer.epoch * steps, recipe.epochs * steps) as advance:
        while trainer.epoch < recipe.epochs and trainer.epoch - trainer.best_epoch < recipe.patience:
            row = _epoch(recipe, trainer, arrays, steps, advance)
            row |= validate(trainer.model, trainer.average, valid, recipe.batch)
            _finish_epoch(recipe, trainer, row, out)
            advance(0, f"epoch {trainer.epoch} · score {row['score']:.3f} · best {trainer.best_score:.3f}")
    if fabric.is_global_zero:
        runs.close_run(out, unweighted(trainer), trainer.history)


def unweighted(trainer: Trainer) -> State:
    """The chosen weights, with what the class weights did to the logits undone.

    Cross-entropy with weights w learns p(c|x)·w_c up to a factor; subtracting log w_c gives back probabilities for
    the classes' natural shares (Elkan 2001, theorem 2).
    """
    module = trainer.model.module
    module.load_state_dict(trainer.best)
    module.shift_classes(-trainer.weights.log())
    return {k: v.detach().clone() for k, v in module.state_dict().items()}


def _start(recipe: Recipe, fabric: Fabric, arrays: Arrays) -> Trainer:
    torch.manual_seed(recipe.seed)
    model = create_model(
        recipe.system,
        classes=len(CLASSES),
        encoder_weights=recipe.encoder_weights,
        pretrained=recipe.pretrained,
    )
    if recipe.init_weights:
        state, _ = read_tensors(recipe.init_weights)
        floats = {
            k: v.float() if v.is_floating_point() else v for k, v in state.items()
        }  # bundles hold 16 bits
        load_weights(model, floats, recipe.init_weights)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_groups(model, recipe), lr=recipe.lr, weight_decay=recipe.weight_decay)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    model, optimizer = fabric.setup(model, optimizer)
    average = {k: v.to(fabric.device) for k, v in average.items()}
    weights = class_weights(arrays.labels, len(CLASSES), recipe.balance).to(fabric.device)
    return Trainer(fabric, model, optimizer, weights, average, {k: v.clone() for k, v in average.items()})


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameter groups: the pretrained encoder learns slower; norms and biases do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((name.startswith("encoder."), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": members,
            "factor": recipe.encoder_lr_factor if encoder else 1.0,
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (encoder, decays), members in groups.items()
    ]


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017), for a step counted from 0."""
    warm = recipe.warmup_epochs * steps_per_epoch
    total = recipe.epochs * steps_per_epoch
    if step < warm:
        return recipe.lr * (step + 1) / (warm + 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))


def _epoch(recipe: Recipe, trainer: Trainer, arrays: Arrays, steps: int, advance: Any) -> dict[str, float]:
    trainer.model.train()
    started, total, seen = time.perf_counter(), torch.zeros(3), 0
    for step, batch in enumerate(_batches(recipe, trainer, arrays, steps)):
        images, masks, has_mask, labels = (part.to(trainer.fabric.device) for part in batch)
        rate = learning_rate(recipe, trainer.epoch * steps + step, steps)
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        torch.manual_seed(hash((recipe.seed, trainer.epoch, step)) & 0x7FFFFFFF)  # dropout
        outputs = trainer.model(images)
        by_class = class_loss(outputs.class_logits, labels, trainer.weights, recipe.label_smoothing)
        by_mask = mask_loss(outputs.mask_logits, masks, has_mask)
        loss = recipe.class_weight * by_class + recipe.mask_weight * by_mask
        trainer.optimizer.zero_grad()
        trainer.fabric.backward(loss)
        trainer.fabric.clip_gradients(trainer.model, trainer.optimizer, max_norm=recipe.clip)
        trainer.optimizer.step()
        decay = min(recipe.ema, (1 + trainer.epoch * steps + step) / (10 + trainer.epoch * steps + step))
        update_average(trainer.average, trainer.model.module, decay)
        total += torch.stack([loss, by_class, by_mask]).detach().float().cpu()
        seen += len(images)
        advance(1)
    if not bool(torch.isfinite(total).all()):
        raise UsageError(
            f"the loss is no longer a number in epoch {trainer.epoch + 1}",
            fix="lower lr or clip in the recipe and train again",
        )
    mean = (total / steps).tolist()
    seconds = time.perf_counter() - started
    return {
        "epoch": trainer.epoch + 1,
        "loss": mean[0],
        "class_loss": mean[1],
        "mask_loss": mean[2],
        "lr": rate,
        "images_per_second": seen * trainer.fabric.world_size / seconds,
    }


def _batches(recipe: Recipe, trainer: Trainer, arrays: Arrays, steps: int) -> Iterator[tuple[Tensor, ...]]:
    """Augmented batches of this process, the next one made while the last is learnt from."""
    fabric, epoch = trainer.fabric, trainer.epoch
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(arrays))
    order = np.resize(
        order, steps * recipe.batch * fabric.world_size if fabric.world_size > 1 else len(order)
    )
    mine = order[fabric.global_rank :: fabric.world_size]

    def make(step: int) -> tuple[Tensor, ...]:
        chosen = mine[step * recipe.batch : (step + 1) * recipe.batch]
        rng = np.random.default_rng([recipe.seed, epoch, step, fabric.global_rank])
        images = torch.from_numpy(arrays.images[chosen]).float().div_(255).unsqueeze(1)
        masks = torch.from_numpy(arrays.masks[chosen]).float().unsqueeze(1)
        images, masks = augment(images, masks, recipe.augment, recipe.train_size, rng)
        return (
            images.contiguous(memory_format=torch.channels_last),
            masks,
            torch.from_numpy(arrays.has_mask[chosen]),
            torch.from_numpy(arrays.labels[chosen]),
        )

    # One thread for the next batch: more would fight the training for the same cores.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        upcoming = pool.submit(make, 0)
        for step in range(steps):
            batch = upcoming.result()
            if step + 1 < steps:
                upcoming = pool.submit(make, step + 1)
            yield batch


@torch.no_grad()
def update_average(average: State, model: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and batch-norm statistics, in place; counters are copied."""
    current = model.state_dict()
    names = [k for k, v in average.items() if v.is_floating_point()]
    torch._foreach_lerp_([average[k] for k in names], [current[k].detach() for k in names], 1 - decay)
    for key in average.keys() - set(names):
        average[key].copy_(current[key])


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

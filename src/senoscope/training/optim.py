"""The optimizer, its learning rate over time, clipping, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from senoscope.training.checkpoint import State
from senoscope.training.recipe import Recipe


def make_optimizer(model: nn.Module, balancer: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD with Nesterov's momentum 0.9, over what can be learnt; the encoder learns slower."""
    groups = [*_groups(model, recipe)]
    own = [weight for weight in balancer.parameters() if weight.requires_grad]
    if own:
        # A few numbers that a network's rate would hardly move in one training.
        groups.append({"params": own, "factor": 10.0, "weight_decay": 0.0})
    fused = recipe.precision != "16-mixed"  # gradients cannot be unscaled for clipping in a fused step
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=fused)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=recipe.lr, fused=fused)


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameter groups: the encoder has its own rate; norms and biases do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
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
    """The rate at a step from 0: linear warm-up, then constant or a cosine to zero (Loshchilov & Hutter 2017)."""
    warm = recipe.warmup_epochs * steps_per_epoch
    total = recipe.epochs * steps_per_epoch
    if step < warm:
        return recipe.lr * (step + 1) / (warm + 1)
    if recipe.schedule == "constant":
        return recipe.lr
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scale gradients so that their common norm is at most ``max_norm``; smaller ones are not touched."""
    parameters = list(parameters)
    norm = nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
    if norm > max_norm:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)


class Average:
    """Exponential moving average of weights and batch-norm statistics, in place; counters are copied.

    The tensors are visited at every ``every``-th step only, with the decays of the steps between multiplied: a visit
    takes time that does not shrink with the batch. ``every`` 1 is the usual average.
    """

    def __init__(self, average: State, current: State, every: int = 8) -> None:
        names = [key for key, value in average.items() if value.is_floating_point()]
        self._pairs = [average[key] for key in names], [current[key] for key in names]
        self._counters = [(average[key], current[key]) for key in average.keys() - set(names)]
        self._every, self._waiting, self._kept = every, 0, 1.0

    def step(self, decay: float) -> None:
        """Count a step whose average keeps ``decay`` of what it was."""
        self._kept *= decay
        self._waiting += 1
        if self._waiting == self._every:
            self.finish()

    @torch.no_grad()
    def finish(self) -> None:
        """Bring the average up to date."""
        if self._waiting:
            torch._foreach_lerp_(*self._pairs, 1 - self._kept)
            for kept, now in self._counters:
                kept.copy_(now)
            self._waiting, self._kept = 0, 1.0


def shared_weights(model: nn.Module) -> list[nn.Parameter]:
    """The last weights that all tasks share, as far as names tell: of the encoder, else of the first part."""
    encoder = [p for n, p in model.named_parameters() if n.startswith("encoder.") and p.ndim > 1]
    if encoder:
        return encoder[-1:]
    first = next(model.children(), model)
    return [p for p in first.parameters() if p.ndim > 1][-1:]


def finite(total: Tensor) -> bool:
    """Whether every sum of losses is a number."""
    return bool(torch.isfinite(total).all())

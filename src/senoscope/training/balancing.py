"""Balancing several tasks' losses: fixed, by uncertainty, by gradient norms, or by how fast each still falls."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from senoscope.errors import ConfigError, UsageError


class Balancer(nn.Module):
    """Turns a dictionary of task losses into the scalar to minimise; parameters and buffers are a run's state.

    ``fixed`` are a recipe's weights (1 for a task it does not name): they multiply whatever the method finds, so that
    they keep their meaning of relative importance. A task with fixed weight 0 is out. A loss of exactly 0 (nothing
    was known in the batch) teaches the balancer nothing. A task that is not among ``tasks`` has its fixed weight.
    """

    factors: Tensor

    def __init__(self, tasks: Sequence[str], fixed: Mapping[str, float]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.fixed = dict(fixed)
        factors = torch.tensor([self.fixed.get(task, 1.0) for task in self.tasks])
        self.register_buffer("factors", factors, persistent=False)

    def forward(self, losses: dict[str, Tensor], shared: Sequence[nn.Parameter] | None = None) -> Tensor:
        """The scalar to minimise. ``shared`` are the last weights that all tasks share, for gradient norms."""
        places = [i for i, task in enumerate(self.tasks) if task in losses and self.fixed.get(task, 1.0) > 0]
        others = [self.fixed.get(task, 1.0) * loss for task, loss in losses.items() if task not in self.tasks]
        total = torch.stack(others).sum() if others else next(iter(losses.values())) * 0
        if not places:
            return total
        values = torch.stack([losses[self.tasks[i]] for i in places])
        index = torch.tensor(places, device=values.device)
        return total + self._balanced(values, index, shared)

    @abstractmethod
    def _balanced(self, values: Tensor, index: Tensor, shared: Sequence[nn.Parameter] | None) -> Tensor:
        """The scalar for the losses ``values`` (K) of the tasks numbered ``index`` (K)."""

    def _current(self) -> Tensor:
        """What the method multiplies each task's fixed weight with."""
        return torch.ones_like(self.factors)

    def weights(self) -> dict[str, float]:
        """Each task's weight in the sum at this moment, to be logged."""
        found = (self.factors * self._current().detach()).tolist()
        return dict(zip(self.tasks, found, strict=True))

    def end_epoch(self) -> None:
        """Told after each epoch of training; only the adaptive balancer listens."""


class Fixed(Balancer):
    """The sum of the losses, each times its fixed weight."""

    def _balanced(self, values: Tensor, index: Tensor, shared: Sequence[nn.Parameter] | None) -> Tensor:
        return (self.factors[index] * values).sum()


class Uncertainty(Balancer):
    """Learned log-variances s: Σ exp(-s)·L + s (Kendall, Gal & Cipolla 2018).

    One form serves every kind of task, so that at rest exp(s) equals the task's mean loss: for a squared error, the
    variance of the noise. The paper's factors of ½ are left out; for all tasks they do not matter, and for
    classification alone they would double its weight.
    """

    def __init__(self, tasks: Sequence[str], fixed: Mapping[str, float]) -> None:
        super().__init__(tasks, fixed)
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))

    def _balanced(self, values: Tensor, index: Tensor, shared: Sequence[nn.Parameter] | None) -> Tensor:
        mean = _over_processes(values)
        logs = self.log_variances[index]
        inverse = torch.exp(-logs)
        # The network learns from this process's losses, the variances from everyone's: they stay the same everywhere.
        learning = torch.where(mean > 0, inverse * mean + logs, torch.zeros_like(logs))
        weighted = inverse.detach() * values
        return (self.factors[index] * (weighted + learning - (inverse * mean).detach())).sum()

    def _current(self) -> Tensor:
        return torch.exp(-self.log_variances)


class GradNorm(Balancer):
    """Weights that make every task pull equally hard, those that lag behind harder (Chen et al. 2018, algorithm 1).

    ``alpha`` is the paper's asymmetry: 0 makes the gradient norms equal, larger values favour tasks whose loss has
    fallen less since the start. The weights are renormalised to the number of tasks before every step.
    """

    initial: Tensor

    def __init__(self, tasks: Sequence[str], fixed: Mapping[str, float], alpha: float = 1.5) -> None:
        super().__init__(tasks, fixed)
        self.alpha = alpha
        self.task_weights = nn.Parameter(torch.ones(len(self.tasks)))
        self.register_buffer("initial", torch.zeros(len(self.tasks)))  # 0: not seen yet

    def _balanced(self, values: Tensor, index: Tensor, shared: Sequence[nn.Parameter] | None) -> Tensor:
        if not self.training or not torch.is_grad_enabled():
            return (self.factors[index] * self.task_weights.detach()[index] * values).sum()
        if not shared:
            raise UsageError(
                "GradNorm got no shared weights", expected="the last weights that all tasks share"
            )
        self._renormalise()
        mean, norms = _over_processes(torch.stack([values.detach(), _norms(values, shared)]))
        self.initial[index] = torch.where(self.initial[index] > 0, self.initial[index], mean)
        weights = self.task_weights[index]
        seen = (mean > 0) & (norms > 0)
        lost = torch.zeros_like(weights)
        if seen.any():
            rates = mean[seen] / self.initial[index][seen]
            pulls = weights[seen] * norms[seen]
            target = (pulls.mean() * (rates / rates.mean()) ** self.alpha).detach()
            lost[seen] = (pulls - target).abs()
        # Only the weights learn from this part, and only from its gradient: its value is taken away again.
        return (self.factors[index] * weights.detach() * values).sum() + (lost - lost.detach()).sum()

    @torch.no_grad()
    def _renormalise(self) -> None:
        self.task_weights.clamp_(min=1e-3)
        self.task_weights.mul_(len(self.tasks) / self.task_weights.sum())

    def _current(self) -> Tensor:
        return self.task_weights * len(self.tasks) / self.task_weights.sum()


class Adaptive(Balancer):
    """Dynamic weight averaging (Liu, Johns & Davison 2019), once per epoch.

    A task's weight is K·softmax(r / ``temperature``) of r, its mean loss of the last epoch divided by that of the one
    before: what still falls fast needs less push. 1 for the first two epochs.
    """

    sums: Tensor
    counts: Tensor
    last: Tensor
    before: Tensor

    def __init__(self, tasks: Sequence[str], fixed: Mapping[str, float], temperature: float = 2.0) -> None:
        super().__init__(tasks, fixed)
        self.temperature = temperature
        for name in ("sums", "counts", "last", "before"):
            self.register_buffer(name, torch.zeros(len(self.tasks)))

    def _balanced(self, values: Tensor, index: Tensor, shared: Sequence[nn.Parameter] | None) -> Tensor:
        if self.training and torch.is_grad_enabled():
            mean = _over_processes(values)
            self.sums[index] += mean
            self.counts[index] += (mean > 0).to(self.counts)
        return (self.factors[index] * self._current()[index] * values).sum()

    def end_epoch(self) -> None:
        """Take the epoch's mean losses into account; without a known case a task keeps its figures."""
        seen = self.counts > 0
        self.before[seen] = self.last[seen]
        self.last[seen] = self.sums[seen] / self.counts[seen]
        self.sums.zero_()
        self.counts.zero_()

    def _current(self) -> Tensor:
        rates = torch.where(
            self.before > 0, self.last / self.before.clamp(min=1e-12), torch.ones_like(self.last)
        )
        return len(self.tasks) * torch.softmax(rates / self.temperature, 0)


BALANCERS: dict[str, type[Balancer]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
    "adaptive": Adaptive,
}
"""The balancers a recipe can name."""


def make_balancer(name: str, tasks: Sequence[str], fixed: Mapping[str, float]) -> Balancer:
    """A balancer of ``BALANCERS`` for ``tasks`` with a recipe's fixed weights. Raises ``ConfigError`` for others."""
    if name not in BALANCERS:
        raise ConfigError(f"balancing = {name!r}", expected="one of " + ", ".join(BALANCERS))
    return BALANCERS[name](tasks, fixed)


def _norms(values: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
    """The norm (K) of each loss's gradient with respect to the shared weights; 0 if it does not reach them."""
    norms = []
    with _outside_fabrics_backward():
        for value in values:
            gradients = torch.autograd.grad(value, list(shared), retain_graph=True, allow_unused=True)
            parts = [g.detach().float().norm() for g in gradients if g is not None]
            norms.append(torch.stack(parts).norm() if parts else torch.zeros_like(value))
    return torch.stack([norm.to(values) for norm in norms]).detach()


@contextmanager
def _outside_fabrics_backward() -> Iterator[None]:
    """Let gradients be read outside ``fabric.backward``, which mixed precision otherwise refuses.

    Fabric guards against a loss that was not scaled; a norm that is only looked at needs no scaling.
    """
    from lightning_fabric import wrappers

    before = wrappers._in_fabric_backward
    wrappers._in_fabric_backward = True
    try:
        yield
    finally:
        wrappers._in_fabric_backward = before


def _over_processes(values: Tensor) -> Tensor:
    """The mean over all training processes, so that their balancers stay the same; detached."""
    mean = values.detach().clone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(mean)
        mean /= torch.distributed.get_world_size()
    return mean

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from senoscope.errors import ConfigError, UsageError
from senoscope.training.balancing import BALANCERS, GradNorm, make_balancer


def of(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_fixed_is_the_weighted_sum() -> None:
    balancer = make_balancer("fixed", ["class", "mask"], {"class": 2.0, "own": 0.5})
    assert float(balancer(of(**{"class": 3.0, "mask": 5.0, "own": 4.0}))) == 2 * 3 + 5 + 0.5 * 4
    assert balancer.weights() == {"class": 2.0, "mask": 1.0}
    assert not balancer.state_dict()


def test_uncertainty_finds_the_noise_of_two_regressions() -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 1)
    wanted = torch.cat([2 * x + 0.5 * torch.randn(2000, 1), -x + 3 * torch.randn(2000, 1)], 1)
    model, balancer = nn.Linear(1, 2), make_balancer("uncertainty", ["quiet", "loud"], {})
    optimizer = torch.optim.LBFGS(
        [*model.parameters(), *balancer.parameters()], line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        quiet, loud = (model(x) - wanted).square().mean(0)
        total: Tensor = balancer({"quiet": quiet, "loud": loud})
        total.backward()
        return total

    for _ in range(3):
        optimizer.step(closure)
    variances = [1 / weight for weight in balancer.weights().values()]
    line = torch.cat([x, torch.ones_like(x)], 1)
    left = (line @ torch.linalg.lstsq(line, wanted).solution - wanted).square().mean(0)
    assert variances == pytest.approx(left.tolist(), rel=0.01)
    assert variances == pytest.approx([0.25, 9.0], rel=0.1)  # as far as 2000 draws tell


def test_uncertainty_by_hand() -> None:
    balancer = make_balancer("uncertainty", ["a", "b"], {"b": 3.0})
    with torch.no_grad():
        balancer.log_variances.copy_(torch.tensor([math.log(2.0), 0.0]))  # type: ignore[operator]
    a = torch.tensor(6.0, requires_grad=True)
    total = balancer({"a": a, "b": torch.tensor(5.0)})
    assert total.item() == pytest.approx(6 / 2 + math.log(2) + 3 * 5)
    total.backward()
    assert float(a.grad) == pytest.approx(0.5)  # type: ignore[arg-type]
    assert balancer.log_variances.grad.tolist() == pytest.approx([1 - 3, 3 * (1 - 5)])  # type: ignore[union-attr]


def test_a_batch_without_a_known_case_leaves_its_variance_alone() -> None:
    balancer = make_balancer("uncertainty", ["class", "mask"], {})
    nothing = torch.ones(1, requires_grad=True).sum() * 0
    balancer({"class": nothing, "mask": torch.tensor(4.0)}).backward()
    assert balancer.log_variances.grad.tolist() == [0.0, -3.0]  # type: ignore[union-attr]


def linear(shared: nn.Parameter) -> dict[str, Tensor]:
    """Two losses whose gradients have norm 10 and 1 wherever the weights are, in different directions."""
    return {"large": 40 + 10 * shared[0], "small": 4 + shared[1]}


def test_gradnorm_equalises_gradients_of_ten_to_one() -> None:
    shared = nn.Parameter(torch.zeros(2))
    balancer = make_balancer("gradnorm", ["large", "small"], {})
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.03)
    for _ in range(120):
        optimizer.zero_grad()
        balancer(linear(shared), [shared]).backward()
        optimizer.step()
    # 10·w₁ = 1·w₂ and w₁ + w₂ = 2: 2/11 and 20/11
    assert balancer.weights() == pytest.approx({"large": 2 / 11, "small": 20 / 11}, abs=0.04)


def test_gradnorm_step_by_hand() -> None:
    shared = nn.Parameter(torch.zeros(2))
    balancer = GradNorm(["large", "small"], {"small": 0.5}, alpha=1.0)
    total = balancer(linear(shared), [shared])
    assert total.item() == 40 + 0.5 * 4
    total.backward()
    # pulls 10 and 1, mean 5.5, both at their start: ∂|10·w₁ - 5.5| = 10, ∂|1·w₂ - 5.5| = -1
    assert balancer.task_weights.grad.tolist() == [10.0, -1.0]  # type: ignore[union-attr]
    assert shared.grad.tolist() == [10.0, 0.5]  # type: ignore[union-attr]  # of the weighted losses alone
    balancer.zero_grad()
    later = {"large": 40 + 10 * shared[0], "small": 0.4 + shared[1]}
    # "small" fell to a tenth: rates 1 and 0.1, mean 0.55, targets 5.5 · 1.82 = 10 and 1 = 5.5 · 0.18: at rest
    with torch.no_grad():
        balancer.task_weights.copy_(torch.tensor([1.02, 0.98]))
    balancer(later, [shared]).backward()
    pulls, rates = [10.2, 0.98], [1 / 0.55, 0.1 / 0.55]
    signs = [math.copysign(1, p - 5.59 * r) for p, r in zip(pulls, rates, strict=True)]
    assert balancer.task_weights.grad.tolist() == [signs[0] * 10, signs[1] * 1] == [10.0, -1.0]  # type: ignore[union-attr]


def test_gradnorm_needs_shared_weights_and_skips_what_does_not_reach_them() -> None:
    shared, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(1))
    balancer = make_balancer("gradnorm", ["large", "small", "apart"], {})
    with pytest.raises(UsageError, match="shared weights"):
        balancer(linear(shared))
    balancer({**linear(shared), "apart": other.sum()}, [shared]).backward()
    assert balancer.task_weights.grad.tolist() == [10.0, -1.0, 0.0]  # type: ignore[union-attr]
    assert other.grad is not None


def test_gradnorm_works_under_fabrics_mixed_precision() -> None:
    fabric_module = pytest.importorskip("lightning_fabric")
    fabric = fabric_module.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    shared = [model[0].weight]
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
    balancer = make_balancer("gradnorm", ["a", "b"], {})
    out = model(torch.ones(5, 3)).float()
    loss = balancer({"a": out[:, 0].square().mean(), "b": 10 * out[:, 1].square().mean()}, shared)
    with pytest.raises(RuntimeError, match=r"fabric\.backward"):
        loss.backward()  # the guard still guards what it is there for
    fabric.backward(balancer({"a": model(torch.ones(5, 3)).float().square().mean()}, shared))
    optimizer.step()


def test_adaptive_weights_by_hand() -> None:
    balancer = make_balancer("adaptive", ["fast", "slow"], {"slow": 2.0})
    assert float(balancer(of(fast=1.0, slow=3.0))) == 1 + 2 * 3
    for fast, slow in ((4.0, 2.0), (6.0, 2.0)):  # means over the epoch with the first batch: 11/3, 7/3
        balancer(of(fast=fast, slow=slow))
    balancer.end_epoch()
    assert balancer.weights() == {"fast": 1.0, "slow": 2.0}
    balancer(of(fast=11 / 6, slow=7 / 3))
    balancer(of(fast=0.0, slow=7 / 3))  # nothing of "fast" was known in this batch
    balancer.end_epoch()
    fast, slow = math.exp(0.5 / 2), math.exp(1 / 2)
    wanted = {"fast": 2 * fast / (fast + slow), "slow": 2.0 * 2 * slow / (fast + slow)}
    assert balancer.weights() == pytest.approx(wanted)


@pytest.mark.parametrize("name", BALANCERS)
def test_state_goes_on_where_it_was_saved(name: str) -> None:
    def steps(balancer: nn.Module, count: int) -> None:
        optimizer = torch.optim.SGD([*balancer.parameters(), shared], lr=0.01)
        for _ in range(count):
            optimizer.zero_grad()
            balancer(linear(shared), [shared]).backward()
            optimizer.step()
            balancer.end_epoch()  # type: ignore[operator]

    shared = nn.Parameter(torch.zeros(2))
    whole, first = make_balancer(name, ["large", "small"], {}), make_balancer(name, ["large", "small"], {})
    steps(whole, 6)
    shared = nn.Parameter(torch.zeros(2))
    steps(first, 3)
    assert all(torch.isfinite(v).all() for v in first.state_dict().values()), "a state file holds no infinity"
    second = make_balancer(name, ["large", "small"], {})
    second.load_state_dict(first.state_dict())
    steps(second, 3)
    assert second.weights() == whole.weights()
    if name != "fixed":
        assert whole.weights() != {"large": 1.0, "small": 1.0}


@pytest.mark.parametrize("name", BALANCERS)
def test_tasks_that_are_missing_new_or_off(name: str) -> None:
    shared = nn.Parameter(torch.zeros(2))
    balancer = make_balancer(name, ["large", "small", "off"], {"off": 0.0, "own": 3.0})
    off = torch.tensor(1.0, requires_grad=True)
    losses = {**linear(shared), "off": off * 7, "own": shared.sum() + 2}
    total = balancer(losses, [shared])
    start = balancer.weights()
    assert float(total) == pytest.approx(start["large"] * 40 + start["small"] * 4 + 3 * 2)
    total.backward()
    assert not off.grad
    assert float(balancer({"own": losses["own"]}, [shared])) == 6
    assert float(balancer({"small": losses["small"]}, [shared])) == pytest.approx(start["small"] * 4)


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="fixed, uncertainty, gradnorm, adaptive"):
        make_balancer("even", ["a"], {})

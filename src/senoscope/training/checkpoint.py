"""A run's state in one safetensors file, written whole or not at all.

There is no pickle and no stored generator state: every batch draws from a generator seeded by (seed, epoch, step),
so the weights, the averages and the optimizer's moments are the whole state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from senoscope._files import atomic_path
from senoscope.errors import WeightsError

State = dict[str, Tensor]


def save_state(
    path: Path,
    model: nn.Module,
    average: State,
    best: State,
    optimizer: Optimizer,
    balancer: nn.Module,
    progress: dict[str, Any],
) -> None:
    """Write everything that training needs to go on. ``progress`` is JSON-able."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    tensors |= {f"balancer.{k}": v for k, v in balancer.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    copies = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(copies, temporary, {"progress": json.dumps(progress)})


def load_state(
    path: Path, model: nn.Module, average: State, best: State, optimizer: Optimizer, balancer: nn.Module
) -> dict[str, Any]:
    """Put a saved state back in place and return its ``progress``.

    Raises ``WeightsError`` if the file is damaged or belongs to another network.
    """
    tensors, metadata = read_tensors(path)
    load_weights(model, {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}, path)
    for target, prefix in ((average, "average."), (best, "best.")):
        for key, value in target.items():
            value.copy_(tensors[prefix + key])
    balancer.load_state_dict({k[9:]: v for k, v in tensors.items() if k.startswith("balancer.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for weight, kept in optimizer.state.items():
        # Fused steps walk weights and moments side by side in memory: a moment lies there as its weight does.
        kept |= {k: torch.empty_like(weight).copy_(v) for k, v in kept.items() if v.shape == weight.shape}
    progress: dict[str, Any] = json.loads(metadata["progress"])
    return progress


def read_tensors(path: Path) -> tuple[State, dict[str, str]]:
    """Tensors and metadata of a safetensors file; raises ``WeightsError`` if it is missing, damaged or not finite."""
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path.name} is not a safetensors file",
            expected="weights saved by senoscope",
            fix="pickled weights can run code and are never read; convert them first",
        )
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read: {error}", fix="restore the file or train again"
        ) from error
    bad = next((k for k, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
    if bad:
        raise WeightsError(f"{path} holds NaN or infinity in {bad}", fix="train again with a lower lr")
    return tensors, metadata


def load_weights(model: nn.Module, state: State, path: Path) -> None:
    """Load weights that must fit exactly; raises ``WeightsError`` naming what does not."""
    own = model.state_dict()
    wrong = sorted(set(own) ^ set(state)) + [k for k in own if k in state and own[k].shape != state[k].shape]
    if wrong:
        raise WeightsError(
            f"{path}: {len(wrong)} tensors do not fit this network, first {wrong[0]}",
            expected=f"{len(own)} tensors of {type(model).__name__}",
            fix="use the recipe and system the weights were trained with",
        )
    model.load_state_dict(state)

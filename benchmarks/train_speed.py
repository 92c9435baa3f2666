"""Training throughput against plain PyTorch loops over the same network; writes docs/results/train-speed.json.

The plain loop is what a script does: shuffled tensors, a mirror now and then, the same losses, AdamW. It runs in
float32 and in bfloat16 autocast with channels-last memory; ours is compared with the quicker of the two. Ours does
all that its recipe says: every augmentation, averaged weights, clipping. The three take turns, so that all see the
same machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional

from senoscope._files import write_text
from senoscope.models import create_model
from senoscope.models.blocks.encoder import StridedDepthwise
from senoscope.training.batches import Batches
from senoscope.training.data import prepare
from senoscope.training.loop import _epoch, _start
from senoscope.training.memory import kept_memory
from senoscope.training.recipe import find_recipe, read_recipe

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs/results/train-speed.json"
ROUNDS, IMAGES = 7, 64


def plain_network() -> nn.Module:
    """The same network with PyTorch's own convolutions throughout."""
    model = create_model("senoscope-us")
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, StridedDepthwise):
                ordinary = nn.Conv2d(child.in_channels, child.out_channels, child.kernel_size, child.stride,
                                     child.padding, groups=child.groups, bias=False)  # fmt: skip
                setattr(parent, name, ordinary)
    return model


def plain_loop(
    images: torch.Tensor, masks: torch.Tensor, labels: torch.Tensor, batch: int, *, fast: bool
) -> Callable[[], None]:
    """One pass over the tensors with a plain loop."""
    model = plain_network().train()
    if fast:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def run() -> None:
        for chosen in torch.randperm(len(images)).split(batch):
            x, y = images[chosen], masks[chosen]
            if torch.rand(()) < 0.5:
                x, y = x.flip(3), y.flip(3)
            if fast:
                x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16) if fast else nullcontext():
                outputs = model(x)
            loss = functional.cross_entropy(outputs.class_logits, labels[chosen])
            probability = outputs.mask_logits.sigmoid()
            dice = 1 - (2 * (probability * y).sum() + 1) / ((probability + y).sum() + 1)
            loss = loss + functional.binary_cross_entropy_with_logits(outputs.mask_logits, y) + dice
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def loops() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Ours and the two plain loops, on the same simulated images and of the same sizes."""
    recipe = read_recipe(find_recipe("senoscope-us"))
    arrays = prepare([], recipe.preprocess, phantoms=IMAGES)
    trainer = _start(recipe, Fabric(devices=1, precision=recipe.precision), arrays)
    batches = Batches(recipe, arrays)

    def ours() -> None:
        with kept_memory():  # as in train()
            _epoch(recipe, trainer, batches, lambda _: None)

    yield "ours", ours
    size = recipe.train_size
    images = functional.interpolate(
        torch.from_numpy(arrays.images).float().div(255).unsqueeze(1), size=(size, size)
    )
    masks = functional.interpolate(torch.from_numpy(arrays.masks).float().unsqueeze(1), size=(size, size))
    labels = torch.from_numpy(arrays.labels)
    yield "plain_float32", plain_loop(images, masks, labels, recipe.batch, fast=False)
    yield "plain_bfloat16_channels_last", plain_loop(images, masks, labels, recipe.batch, fast=True)


def main() -> None:
    """Take turns, then compare medians."""
    runs = dict(loops())
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    rates = {name: [round(IMAGES / s, 2) for s in taken] for name, taken in seconds.items()}
    best = max(
        ("plain_float32", "plain_bfloat16_channels_last"), key=lambda name: float(np.median(rates[name]))
    )
    ratios = np.divide(rates["ours"], rates[best])
    low, middle, high = (round(float(q), 3) for q in np.quantile(ratios, [0.25, 0.5, 0.75]))
    write_text(OUT, json.dumps({
        "train_ratio_vs_plain": {"value": middle, "low": low, "high": high, "n": ROUNDS},
        "compared_with": best, "interval": "quartiles over rounds",
        "images_per_second": {name: float(np.median(found)) for name, found in rates.items()},
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "machine": "2-core x86-64 CPU, no accelerator",
    }, indent=2) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()

"""Training throughput against plain PyTorch loops over the same network; writes docs/results/train-speed.json.

The plain loop is what a script does: shuffled tensors, a mirror now and then, the same losses, AdamW. It runs in
float32 and in bfloat16 autocast with channels-last memory; ours is compared with the quicker of the two. Ours does
all that its recipe says: every augmentation, averaged weights, clipping. The three take turns, each in a
process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
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
from senoscope.training.build import build_system
from senoscope.training.data import Arrays, prepare
from senoscope.training.loop import _epoch, _start
from senoscope.training.memory import kept_memory
from senoscope.training.recipe import Recipe, find_recipe, read_recipe
from take_turns import seconds

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


def plain_loop(fast: bool, _: ExitStack) -> Callable[[], None]:
    """One pass over simulated images with a plain loop."""
    recipe, arrays = _data()
    size, batch = recipe.train_size, recipe.batch
    images = functional.interpolate(
        torch.from_numpy(arrays.images).float().div(255).unsqueeze(1), size=(size, size)
    )
    masks = functional.interpolate(torch.from_numpy(arrays.masks).float().unsqueeze(1), size=(size, size))
    labels = torch.from_numpy(arrays.labels)
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


def ours(stack: ExitStack) -> Callable[[], Any]:
    """One epoch of the recipe's training on simulated images."""
    stack.enter_context(kept_memory())  # as in train()
    recipe, arrays = _data()
    trainer = _start(recipe, build_system(recipe), Fabric(devices=1, precision=recipe.precision), arrays)
    return partial(_epoch, recipe, trainer, Batches(recipe, arrays), lambda _: None)


def _data() -> tuple[Recipe, Arrays]:
    recipe = read_recipe(find_recipe("senoscope-us"))
    return recipe, prepare([], recipe.preprocess, phantoms=IMAGES)


def main() -> None:
    """Take turns, then compare medians."""
    taken = seconds({
        "ours": ours,
        "plain_float32": partial(plain_loop, False),
        "plain_bfloat16_channels_last": partial(plain_loop, True),
    }, ROUNDS)  # fmt: skip
    rates = {name: [round(IMAGES / one, 2) for one in found] for name, found in taken.items()}
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

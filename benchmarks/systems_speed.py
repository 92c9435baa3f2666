"""Training throughput of systems against smp's and MONAI's own networks; writes docs/results/systems-speed.json.

Ours is one epoch of Senoscope's training (augmentation, clipping, averaged weights and all); theirs is the library's
network that comes nearest (parameters and GMACs of both are in the file), in the plain loop of train_speed.py, in
float32 and in bfloat16 with channels-last memory: ours is compared with the quicker (``ratio``).
``ratio_same_network`` compares with our own network in that plain loop, in bfloat16. They take turns, each in a
process of its own. 128 px, batch 8, simulated images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import monai.networks.nets as monai_nets
import numpy as np
import segmentation_models_pytorch as smp
import torch
from lightning_fabric import Fabric
from monai.networks.nets.vnet import DownTransition, UpTransition
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from senoscope import models
from senoscope._files import write_text
from senoscope.models.interface import Outputs, System
from senoscope.training.batches import Batches
from senoscope.training.build import build_system, recipe_for
from senoscope.training.data import prepare
from senoscope.training.loop import _epoch, _start
from senoscope.training.memory import kept_memory
from take_turns import seconds

OUT = Path(__file__).resolve().parents[1] / "docs/results/systems-speed.json"
SIZE, BATCH, IMAGES = 128, 8, 64
SAME = "plain_same_network"

Build = Callable[[], nn.Module]


def _smp(name: str, encoder: str, **options: Any) -> Build:
    return lambda: getattr(smp, name)(encoder, encoder_weights=None, in_channels=3, classes=1, **options)


def _vnet() -> nn.Module:
    """MONAI's V-Net as the paper has it: by default it has a third fewer convolutions, and ELU for PReLU."""
    act = "prelu"
    net = monai_nets.VNet(spatial_dims=2, in_channels=1, out_channels=1, act=act)
    net.down_tr32, net.down_tr64 = DownTransition(2, 16, 2, act), DownTransition(2, 32, 3, act)
    net.down_tr256 = DownTransition(2, 128, 3, act, dropout_prob=0.5)
    net.up_tr256 = UpTransition(2, 256, 256, 3, act, dropout_prob=(0.5, 0.5))
    net.up_tr128 = UpTransition(2, 256, 128, 3, act, dropout_prob=(0.5, 0.5))
    net.up_tr64 = UpTransition(2, 128, 64, 2, act)
    return net


PEERS: dict[str, tuple[str, Build]] = {
    "deeplabv3plus": ("smp.DeepLabV3Plus, resnet101", _smp("DeepLabV3Plus", "resnet101")),
    "efficientnet-b0-unet": ("smp.Unet, efficientnet-b0", _smp("Unet", "efficientnet-b0")),
    "mobile-unet": ("smp.Unet, mobilenet_v2", _smp("Unet", "mobilenet_v2")),
    "attention-unet": (
        "monai AttentionUnet",
        lambda: monai_nets.AttentionUnet(2, 3, 1, (64, 128, 256, 512, 1024), (2, 2, 2, 2)),
    ),
    "unet": (
        "monai BasicUNet",
        lambda: monai_nets.BasicUNet(
            2, 3, 1, (64, 128, 256, 512, 1024, 64), norm=("batch", {}), act=("relu", {})
        ),
    ),
    "vnet-2d": ("monai VNet, with the paper's convolutions and PReLU", _vnet),
    "densenet121": ("monai DenseNet121", lambda: monai_nets.DenseNet121(2, 3, 3)),
    "resnet50": (
        "monai resnet50",
        lambda: monai_nets.resnet50(spatial_dims=2, n_input_channels=3, num_classes=3),
    ),
}


def plain(name: str, network: str, fast: bool, _: ExitStack) -> Callable[[], None]:
    """One pass over random images with a plain loop, as a script does it; the network is "peer" or "ours"."""
    torch.manual_seed(0)
    model = (PEERS[name][1]() if network == "peer" else models.create_model(name, image_size=SIZE)).train()
    channels = 1 if isinstance(model, (monai_nets.VNet, System)) else 3
    images = torch.rand(IMAGES, channels, SIZE, SIZE)
    masks, labels = (torch.rand(IMAGES, 1, SIZE, SIZE) > 0.8).float(), torch.arange(IMAGES) % 3
    if fast:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def run() -> None:
        for chosen in torch.randperm(IMAGES).split(BATCH):
            x, y = images[chosen], masks[chosen]
            if fast:
                x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16) if fast else nullcontext():
                out = model(x)
            if isinstance(out, Outputs):
                out = out.class_logits if out.mask_logits is None else out.mask_logits
            out = (out[0] if isinstance(out, (tuple, list)) else out).float()
            if out.ndim == 2:
                loss = functional.cross_entropy(out, labels[chosen])
            else:
                share = out.sigmoid()
                dice = 1 - (2 * (share * y).sum() + 1) / ((share + y).sum() + 1)
                loss = functional.binary_cross_entropy_with_logits(out, y) + dice
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def ours(name: str, stack: ExitStack) -> Callable[[], Any]:
    """One epoch of a system's training on simulated images."""
    stack.enter_context(kept_memory())  # as in train()
    recipe = recipe_for(name, ["busi"], image_size=SIZE, batch=BATCH, phantoms=IMAGES)
    arrays = prepare([], recipe.preprocess, phantoms=IMAGES)
    trainer = _start(recipe, build_system(recipe), Fabric(devices=1, precision=recipe.precision), arrays)
    return partial(_epoch, recipe, trainer, Batches(recipe, arrays), lambda _: None)


@torch.inference_mode()
def gmacs(model: nn.Module, channels: int) -> float:
    """Multiply-adds of one image, in thousand millions."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, channels, SIZE, SIZE))
    return float(counter.get_total_flops()) / 2e9


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Median rates of the four, and the ratios of ours to the library's quicker loop and to our network in it."""
    title, build = PEERS[name]
    taken = seconds({
        "ours": partial(ours, name),
        "plain_float32": partial(plain, name, "peer", False),
        "plain_bfloat16_channels_last": partial(plain, name, "peer", True),
        SAME: partial(plain, name, "ours", True),
    }, rounds)  # fmt: skip
    rates = {key: [IMAGES / one for one in found] for key, found in taken.items()}
    best = max(
        (key for key in rates if key not in ("ours", SAME)), key=lambda key: float(np.median(rates[key]))
    )
    own = sum(weight.numel() for weight in models.create_model(name, image_size=SIZE).parameters())
    return {
        "peer": title,
        "params": own,
        "gmacs": gmacs(models.create_model(name, image_size=SIZE), 1),
        "peer_params": sum(weight.numel() for weight in build().parameters()),
        "peer_gmacs": gmacs(build(), 1 if name == "vnet-2d" else 3),
        "ratio": _ratio(rates["ours"], rates[best]),
        "ratio_same_network": _ratio(rates["ours"], rates[SAME]),
        "images": IMAGES,
        "compared_with": best,
        "images_per_second": {key: float(np.median(found)) for key, found in rates.items()},
    }  # fmt: skip


def _ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    ratios = np.divide(ours, theirs)
    return {
        "value": float(np.median(ratios)),
        "low": float(ratios.min()),
        "high": float(ratios.max()),
        "n": len(ours),
    }


def main() -> None:
    """Measure the systems named, or all that have a peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("systems", nargs="*", default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = json.loads(OUT.read_text(encoding="utf-8"))["systems"] if OUT.is_file() else {}
    for name in arguments.systems:
        found[name] = measure(name, arguments.rounds)
        print(
            name,
            *(round(found[name][key]["value"], 2) for key in ("ratio", "ratio_same_network")),
            flush=True,
        )
    content = {
        "interval": "smallest and largest of the rounds",
        "size": SIZE,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": "2-core x86-64 CPU, no accelerator",
        "systems": found,
    }
    write_text(OUT, json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

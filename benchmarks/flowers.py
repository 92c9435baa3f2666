"""The sanity check of the EfficientNet-B0 classifier on Oxford 17 Flowers; writes docs/results/flowers17.json.

    python benchmarks/flowers.py --runs runs/flowers --encoder-weights mobilenetv2_100.safetensors

A classifier that fails on mammograms may be broken, or the films may be hard. Colour photographs of flowers tell the
two apart: a sound network with a pretrained encoder has at least 97 % right. The owner's three splits speak of all 1360
pictures and a copy may hold fewer, so the folds are made here: four, stratified and seeded, near-duplicates together.
Within the training part of each fold an eighth is for validation; settings were chosen on it, and test folds choose
nothing. Length and settings are fixed, and the last epoch is judged. Finished folds are not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from senoscope import data as datasets
from senoscope._files import write_text
from senoscope.data.duplicates import find_duplicates
from senoscope.data.splits import make_split
from senoscope.evaluation.bootstrap import bootstrap
from senoscope.evaluation.estimator import mean
from senoscope.imaging.read import read_image
from senoscope.models import create_model
from senoscope.models.blocks.encoder import quicken
from senoscope.schema import Record

OUT = Path(__file__).resolve().parents[1] / "docs/results/flowers17.json"
FOLDS, SEED = 4, 0
KEPT = 224  # shorter side of the pictures in memory, px
SETTINGS: dict[str, Any] = {
    "encoder": "mobilenetv2_100",
    "size": 160,
    "test_size": 192,  # whole pictures show smaller flowers than the random crops of training do
    "epochs": 20,
    "batch": 16,
    "lr": 1.5e-3,
    "encoder_lr_factor": 0.3,
    "weight_decay": 0.02,
    "label_smoothing": 0.1,
    "crop_area": (0.4, 1.0),
}


def grouped(records: Sequence[Record]) -> tuple[list[Record], int]:
    """Records whose ``group`` joins near-duplicates, and the number of groups."""
    groups = find_duplicates([record.image for record in records]).groups
    found = list(records)
    for number, members in enumerate(groups, start=1):
        for index in members:
            found[index] = replace(records[index], group=f"g{number}")
    return found, len(groups)


def read(record: Record) -> NDArray[np.uint8]:
    """A photograph in colour, uint8 H×W×3, its shorter side ``KEPT``."""
    pixels = read_image(record.image).pixels
    picture = Image.fromarray(pixels).convert("RGB")
    scale = KEPT / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def tensor(pixels: NDArray[np.uint8], box: tuple[float, float, float, float], size: int) -> Tensor:
    """A part (left, top, right, bottom) of a photograph as float 3×size×size in 0..1."""
    picture = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box)
    return torch.from_numpy(np.asarray(picture, np.float32).transpose(2, 0, 1) / np.float32(255))


def random_crop(pixels: NDArray[np.uint8], size: int, rng: np.random.Generator) -> Tensor:
    """A random part of random area and a little stretch, mirrored half of the time."""
    height, width = pixels.shape[:2]
    area = rng.uniform(*SETTINGS["crop_area"]) * min(height, width) ** 2
    stretch = math.exp(rng.uniform(-0.2, 0.2) / 2)
    across, down = min(width, math.sqrt(area) * stretch), min(height, math.sqrt(area) / stretch)
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    found = tensor(pixels, (left, top, left + across, top + down), size)
    return found.flip(2) if rng.random() < 0.5 else found


def middle(pixels: NDArray[np.uint8], size: int) -> Tensor:
    """The largest square in the middle."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return tensor(pixels, (left, top, left + side, top + side), size)


def build(classes: int, encoder_weights: Path) -> nn.Module:
    """The system with colour input, its encoder pretrained."""
    torch.manual_seed(SEED)
    system: nn.Module = create_model(
        "efficientnet-b0",
        classes=classes,
        encoder=SETTINGS["encoder"],
        channels=3,
        encoder_weights=encoder_weights,
    )
    return quicken(system).to(memory_format=torch.channels_last)


def train(
    model: nn.Module, pictures: Sequence[NDArray[np.uint8]], labels: Tensor, epochs: int, seed: int
) -> None:
    """A plain loop: random crops and mirrors, AdamW, warm-up and a cosine to zero."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[name.startswith("encoder.")].append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {"params": groups[True], "factor": SETTINGS["encoder_lr_factor"]},
            {"params": groups[False], "factor": 1.0},
        ],
        weight_decay=SETTINGS["weight_decay"],
    )
    batches = math.ceil(len(pictures) / SETTINGS["batch"])
    for epoch in range(epochs):
        model.train()
        rng = np.random.default_rng([seed, epoch])
        total = 0.0
        for step, chosen in enumerate(np.array_split(rng.permutation(len(pictures)), batches)):
            done = (epoch * batches + step) / (epochs * batches)
            rate = SETTINGS["lr"] * min(1, (epoch * batches + step + 1) / batches)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["factor"] * 0.5 * (1 + math.cos(math.pi * done))
            images = torch.stack([random_crop(pictures[i], SETTINGS["size"], rng) for i in chosen])
            images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                outputs: Any = model(images)
            wanted = labels[torch.from_numpy(chosen)]
            loss = functional.cross_entropy(
                outputs.class_logits.float(), wanted, label_smoothing=SETTINGS["label_smoothing"]
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total / batches:.3f}", flush=True)


@torch.inference_mode()
def predict(model: nn.Module, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.intp]:
    """The most probable class of each photograph: mean logits of its middle and of the mirror image."""
    model.eval()
    found = []
    for pixels in pictures:
        image = middle(pixels, SETTINGS["test_size"])
        outputs: Any = model(torch.stack([image, image.flip(2)]))
        found.append(int(outputs.class_logits.mean(0).argmax()))
    return np.array(found, np.intp)


def run_fold(records: Sequence[Record], fold: int, encoder_weights: Path, epochs: int) -> dict[str, Any]:
    """Train without one fold; the answers on its pictures and on the validation part, by id."""
    classes: list[str] = datasets.info("flowers17").facts["classes"]
    tested = set(make_split(records, FOLDS, SEED).test(fold))
    rest = [record for record in records if record.id not in tested]
    held = set(make_split(rest, 8, SEED).test(1))
    sides = {
        "train": [record for record in rest if record.id not in held],
        "valid": [record for record in rest if record.id in held],
        "test": [record for record in records if record.id in tested],
    }
    labels = torch.tensor([classes.index(str(record.label)) for record in sides["train"]])
    model = build(len(classes), encoder_weights)
    train(model, [read(record) for record in sides["train"]], labels, epochs, SEED + fold)
    answers = {
        side: {
            record.id: classes[answer]
            for record, answer in zip(
                sides[side], predict(model, [read(r) for r in sides[side]]), strict=True
            )
        }
        for side in ("valid", "test")
    }
    return {"fold": fold, "epochs": epochs, "train": len(sides["train"])} | answers


def measure(records: Sequence[Record], folds: Sequence[dict[str, Any]], groups: int) -> dict[str, Any]:
    """Accuracy with intervals that resample groups of near-duplicates, out-of-fold and on validation."""
    known = {record.id: record for record in records}
    results: dict[str, Any] = {}
    for side in ("test", "valid"):
        answers = [(known[id], answer) for fold in folds for id, answer in fold[side].items()]
        right = np.array([record.label == answer for record, answer in answers])
        _, cluster = np.unique([record.group or record.id for record, _ in answers], return_inverse=True)
        name = "accuracy" if side == "test" else "validation_accuracy"
        results[name] = bootstrap({name: mean(right, np.ones_like(right))}, cluster.astype(np.int64))[name]
        if side == "test":
            results["wrong"] = {
                record.id: f"{record.label}, answered {answer}"
                for record, answer in answers
                if record.label != answer
            }
    split = make_split(records, FOLDS, SEED)
    return results | {
        "folds": {
            str(fold["fold"]): round(
                float(np.mean([known[id].label == answer for id, answer in fold["test"].items()])), 4
            )
            for fold in folds
        },
        "about": {
            "command": "python benchmarks/flowers.py",
            "protocol": f"{FOLDS} stratified folds, seed {SEED}, near-duplicates ({groups} groups) together; "
            "out-of-fold answers of all folds pooled; settings chosen on validation parts",
            "split_hash": split.hash,
            "interval": "95 % percentile bootstrap of pictures (near-duplicates together), 2000 resamples",
            "pictures": len(records),
            "settings": SETTINGS | {"epochs": folds[0]["epochs"]},
            "system": "efficientnet-b0 with the encoder named in settings, pretrained on ImageNet",
        },
    }


def main() -> None:
    """Train what is not finished, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/flowers"))
    parser.add_argument("--encoder-weights", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(1, FOLDS + 1)))
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    records, groups = grouped(datasets.load("flowers17"))
    finished = []
    for fold in arguments.folds:
        path = arguments.runs / f"fold{fold}.json"
        if not path.is_file():
            found = run_fold(records, fold, arguments.encoder_weights, arguments.epochs)
            write_text(path, json.dumps(found, indent=2) + "\n")
        finished.append(json.loads(path.read_text(encoding="utf-8")))
    write_text(arguments.out, json.dumps(measure(records, finished, groups), indent=2) + "\n")


if __name__ == "__main__":
    main()

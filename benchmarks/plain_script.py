"""A plain training script on BUSI's folds, judged by ``senoscope score``: what our own recipes are held against.

    python benchmarks/plain_script.py --runs runs --encoder-weights mobilenetv2_100.safetensors

The default model's network from an ImageNet encoder, images squeezed to 224 px, mirror images as the only augmentation,
batch 16, 20 epochs, the last one kept; nothing of BUS-BRA, no phantoms, no normalisation. Each fold of
`busi-grouped-5fold` is trained on all four others. Predictions go to a CSV and a folder of masks as anyone's would, a
fold at a time (resumable); the score goes to docs/results/plain-script.json and the leaderboard's external tables.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from senoscope import data, models
from senoscope._files import write_text
from senoscope.benchmark.results import EXTERNAL
from senoscope.benchmark.score import score
from senoscope.data.splits import load_split
from senoscope.evaluation.tablefiles import read_parquet, write_parquet
from senoscope.imaging.read import read_sample
from senoscope.models.blocks.encoder import quicken
from senoscope.schema import CLASSES, Record

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs/results/plain-script.json"
TABLE = ROOT / "benchmark/results" / EXTERNAL / "busi/plain-script.parquet"
SPLIT, SIZE, BATCH, EPOCHS, RATE = "busi-grouped-5fold", 224, 16, 20, 1e-3
NOTE = "A plain PyTorch script: ImageNet encoder, 224 px, 20 epochs, mirror images only (benchmarks/plain_script.py)."
FIGURES = ("accuracy", "auc_benign_malignant", "dice")


class Cases:
    """Images squeezed to SIZE, their masks and labels, all in memory."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records, self.shapes = records, list[tuple[int, int]]()
        images, masks = [], []
        for record in records:
            sample = read_sample(record)
            image = np.asarray(sample.image, np.float64)
            image = image.mean(2) if image.ndim == 3 else image
            image = image if image.max() > 1 else image * 255
            mask = np.zeros(image.shape, bool) if sample.mask is None else sample.mask
            self.shapes.append((image.shape[0], image.shape[1]))
            images.append(_squeezed(image.astype(np.uint8)))
            masks.append(_squeezed(mask.astype(np.uint8) * 255) > 127)
        self.images, self.masks = torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))
        self.labels = torch.tensor([CLASSES.index(str(record.label)) for record in records])

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images and masks N×1×SIZE×SIZE, and labels."""
        images = self.images[chosen].float().div(255).unsqueeze(1)
        return images, self.masks[chosen].float().unsqueeze(1), self.labels[chosen]


def _squeezed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def train(cases: Cases, encoder: Path | None) -> torch.nn.Module:
    """Cross-entropy, binary cross-entropy and Dice; AdamW with one cycle, the encoder at half the rate."""
    torch.manual_seed(0)
    model: torch.nn.Module = models.create_model("senoscope-us", image_size=SIZE, encoder_weights=encoder)
    model = quicken(model).to(memory_format=torch.channels_last)
    named = list(model.named_parameters())
    groups = [
        {"params": [p for n, p in named if n.startswith("encoder.")], "lr": RATE / 2},
        {"params": [p for n, p in named if not n.startswith("encoder.")], "lr": RATE},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-2, fused=True)
    steps = len(cases.labels) // BATCH
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, [RATE / 2, RATE], EPOCHS * steps, pct_start=0.1)
    for epoch in range(EPOCHS):
        model.train()
        order = torch.randperm(len(cases.labels))
        for step in range(steps):
            images, masks, labels = cases.batch(order[step * BATCH : (step + 1) * BATCH])
            flip = (torch.rand(BATCH) < 0.5)[:, None, None, None]
            images, masks = torch.where(flip, images.flip(3), images), torch.where(flip, masks.flip(3), masks)
            with torch.autocast("cpu", torch.bfloat16):
                out = model(images.contiguous(memory_format=torch.channels_last))
            logits = out.mask_logits.float()
            share = logits.sigmoid()
            both, all_ = (share * masks).sum((1, 2, 3)), (share + masks).sum((1, 2, 3))
            loss = functional.cross_entropy(out.class_logits.float(), labels)
            loss = loss + functional.binary_cross_entropy_with_logits(logits, masks)
            loss = loss + 1 - ((2 * both + 1) / (all_ + 1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
        print(f"epoch {epoch + 1}/{EPOCHS}", flush=True)
    return model.eval()


@torch.inference_mode()
def predict(model: torch.nn.Module, cases: Cases, folder: Path) -> None:
    """Masks as PNG in the images' own sizes, then ``predictions.csv``, which marks the fold as done."""
    rows = []
    for start in range(0, len(cases.records), BATCH):
        images, _, _ = cases.batch(torch.arange(start, min(start + BATCH, len(cases.records))))
        with torch.autocast("cpu", torch.bfloat16):
            out = model(images)
        for index, logits in enumerate(out.mask_logits.float(), start):
            full = functional.interpolate(logits[None], cases.shapes[index], mode="bilinear")[0, 0] > 0
            path = folder / "masks" / f"{cases.records[index].id.removeprefix('busi:')}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(full.numpy()).save(path)
        for record, row in zip(cases.records[start:], out.class_logits.float().softmax(1), strict=False):
            rows.append([record.id, *(f"{value:.6f}" for value in row.tolist())])
    header = ["id", *(f"p_{name}" for name in CLASSES)]
    text = "\n".join(",".join(row) for row in [header, *rows])
    write_text(folder / "predictions.csv", text + "\n")


def main() -> None:
    """Train and predict the folds that are missing, and score them all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--encoder-weights", type=Path)
    arguments = parser.parse_args()
    split = load_split(SPLIT)
    records = [r for r in data.load("busi") if split.fold_of(r.id) is not None]
    folders = {fold: arguments.runs / f"plain-script-fold{fold}" for fold in split.folds}
    for fold, folder in folders.items():
        if not (folder / "predictions.csv").is_file():
            tested = set(split.test(fold))
            model = train(Cases([r for r in records if r.id not in tested]), arguments.encoder_weights)
            predict(model, Cases([r for r in records if r.id in tested]), folder)
    whole = arguments.runs / "plain-script"
    shutil.rmtree(whole, ignore_errors=True)
    rows: list[list[str]] = []
    for folder in folders.values():
        shutil.copytree(folder / "masks", whole / "masks", dirs_exist_ok=True)
        with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
            header, *found = csv.reader(file)
        rows += found
    write_text(whole / "predictions.csv", "\n".join(",".join(row) for row in [header, *rows]) + "\n")
    result = score(whole / "predictions.csv", "busi", masks=whole / "masks", out=whole / "score")
    columns, metadata = read_parquet(whole / "score/predictions.parquet")
    write_parquet(columns, TABLE, {**metadata, EXTERNAL: {"name": "plain script", "note": NOTE}})
    content: dict[str, Any] = {
        "command": "python benchmarks/plain_script.py",
        "protocol": f"BUSI, {SPLIT}, out-of-fold",
        "note": NOTE,
        "machine": "2-core x86-64 CPU, no accelerator",
        "figures": {name: result.summary["figures"][name] for name in FIGURES},
        "folds": {name: result.summary["folds"][name] for name in FIGURES},
    }
    write_text(OUT, json.dumps(content, indent=2) + "\n")
    for name in FIGURES:
        print(name, content["figures"][name])


if __name__ == "__main__":
    main()

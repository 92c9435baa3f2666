"""What the walk over the systems shares."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from senoscope import models
from senoscope.data.phantoms import simulate
from senoscope.imaging import Preprocess
from senoscope.models.interface import System
from senoscope.training.objective import Targets
from senoscope.training.recipe import Recipe, make_recipe


def build(name: str, size: int | None = None, *, whole: bool = False, **options: Any) -> System:
    """A system in the small form that its row names for tests, or whole, with fixed weights."""
    torch.manual_seed(0)
    row = models.info(name)
    small = {} if whole else row.facts.get("tiny", {})
    return models.create_model(name, image_size=size, **{**small, **options})


def sizes(name: str) -> tuple[int, int]:
    """Two small image sizes the system takes."""
    row = models.info(name)
    step = int(row.facts.get("size_multiple", 1))
    least = max(int(row.facts.get("min_size", step)), 64)
    first = -(-least // step) * step
    return first, first + max(step, 32 // step * step)


def recipe_of(name: str) -> Recipe:
    """The published recipe's choice of losses for a system."""
    keys = (
        "class_loss",
        "mask_loss",
        "box_loss",
        "auxiliary_weight",
        "mask_weight",
        "class_weight",
        "box_weight",
    )
    facts = models.info(name).facts.get("recipe", {})
    chosen = {key: facts[key] for key in keys if key in facts}
    return make_recipe(
        {"name": "walk", "system": name, "data": [{"name": "busi"}], "label_smoothing": 0.0, **chosen}
    )


@cache
def eight_phantoms(size: int) -> tuple[Tensor, Targets]:
    """Images N×1×S×S of two normals, three benign and three malignant phantoms, and what is true of them."""
    preprocess = Preprocess(size=-(-size // 32) * 32)
    images, masks, labels = [], [], []
    for index, (label, code) in enumerate([("normal", 0)] * 2 + [("benign", 1)] * 3 + [("malignant", 2)] * 3):
        phantom = simulate(9000 + index, label, 256)
        images.append(preprocess.apply(phantom.image.astype(np.float32) / np.float32(255))[0])
        masks.append(preprocess.apply_mask(phantom.mask).astype(np.float32))
        labels.append(code)
    crop = (preprocess.size - size) // 2
    inside = slice(crop, crop + size)
    picture, mask = (torch.from_numpy(np.stack(part))[:, None, inside, inside] for part in (images, masks))
    return picture, Targets(mask, torch.ones(8, dtype=torch.bool), torch.tensor(labels))

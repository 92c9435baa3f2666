"""The validation score that picks the epoch: the mean of lesion Dice (or box IoU) and AUC, whichever can be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch.func import functional_call
from torchvision.ops import box_iou

from senoscope.schema import CLASSES, BoolArray
from senoscope.training.checkpoint import State
from senoscope.training.data import UNKNOWN, Arrays
from senoscope.training.objective import boxes_of


@torch.inference_mode()
def validate(
    model: Any, weights: State, cases: Arrays, batch: int, *, mask_given: bool = False
) -> dict[str, float]:
    """Judge ``weights`` on prepared cases: ``dice``, ``box_iou``, ``accuracy``, ``auc`` and their ``score``.

    Dice is the mean over images with a lesion, at the network's size, and so is the boxes' IoU; AUC is malignant
    against the rest. What cannot be had (no masks, one class only, a system that does not give it) is left out of the
    row and of the score. ``mask_given`` hands the true mask to the network.
    """
    model.eval()
    dice: list[float] = []
    overlap: list[float] = []
    logits: list[torch.Tensor] = []
    for start in range(0, len(cases), batch):
        chosen = slice(start, start + batch)
        images = torch.from_numpy(cases.images[chosen]).float().div_(255).unsqueeze(1).to(model.device)
        images = images.contiguous(memory_format=torch.channels_last)
        masks = torch.from_numpy(cases.masks[chosen]).float().unsqueeze(1).to(model.device)
        given = {"mask": masks} if mask_given else {}
        outputs = functional_call(model.module, weights, (images,), given)
        if outputs.class_logits is not None:
            logits.append(outputs.class_logits.float().cpu())
        if outputs.mask_logits is not None:
            dice += _dice(cases.masks[chosen], (outputs.mask_logits[:, 0] >= 0).cpu().numpy())
        elif outputs.boxes is not None:
            overlap += _box_iou(outputs.boxes.float(), masks)
    row = {name: float(np.mean(values)) for name, values in (("dice", dice), ("box_iou", overlap)) if values}
    if logits:
        row |= _classified(torch.cat(logits).softmax(1).numpy(), cases.labels)
    judged = [k for k in ("dice", "box_iou", "auc" if "auc" in row else "accuracy") if k in row]
    return row | {"score": float(np.mean([row[k] for k in judged])) if judged else 0.0}


def _dice(truths: BoolArray, predicted: BoolArray) -> list[float]:
    pairs = zip(truths, predicted, strict=True)
    return [2 * float((t & p).sum()) / float(t.sum() + p.sum()) for t, p in pairs if t.any()]


def _box_iou(boxes: torch.Tensor, masks: torch.Tensor) -> list[float]:
    wanted, filled = boxes_of(masks)
    corners = (torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], 1) for b in (boxes[filled], wanted[filled]))
    found: list[float] = box_iou(*corners).diagonal().tolist()
    return found


def _classified(probability: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    known = labels != UNKNOWN
    probability, labels = probability[known], labels[known]
    if not len(labels):
        return {}
    row = {"accuracy": float((probability.argmax(1) == labels).mean())}
    malignant = labels == CLASSES.index("malignant")
    if 0 < malignant.sum() < len(labels):
        row["auc"] = float(roc_auc_score(malignant, probability[:, CLASSES.index("malignant")]))
    return row

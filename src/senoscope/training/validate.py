"""The validation score that picks the epoch: mean lesion Dice and AUC of malignancy, whichever can be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.func import functional_call

from senoscope.schema import CLASSES
from senoscope.training.checkpoint import State
from senoscope.training.data import UNKNOWN, Arrays


@torch.inference_mode()
def validate(model: Any, weights: State, cases: Arrays, batch: int) -> dict[str, float]:
    """Judge ``weights`` on prepared cases: ``dice``, ``accuracy``, ``auc`` and their ``score``.

    Dice is the mean over images with a lesion, at the network's size; AUC is malignant against the rest.
    What cannot be had (no masks, one class only) is left out of the row and of the score.
    """
    model.eval()
    dice: list[float] = []
    logits: list[torch.Tensor] = []
    for start in range(0, len(cases), batch):
        chosen = slice(start, start + batch)
        images = torch.from_numpy(cases.images[chosen]).float().div_(255).unsqueeze(1).to(model.device)
        images = images.contiguous(memory_format=torch.channels_last)
        outputs = functional_call(model.module, weights, (images,))
        logits.append(outputs.class_logits.float().cpu())
        predicted = (outputs.mask_logits[:, 0] >= 0).cpu().numpy()
        for truth, mask in zip(cases.masks[chosen], predicted, strict=True):
            if truth.any():
                dice.append(2 * float((truth & mask).sum()) / float(truth.sum() + mask.sum()))
    row = {"dice": float(np.mean(dice))} if dice else {}
    known = cases.labels != UNKNOWN
    probability = torch.cat(logits).softmax(1).numpy()[known]
    labels = cases.labels[known]
    if len(labels):
        row["accuracy"] = float((probability.argmax(1) == labels).mean())
        malignant = labels == CLASSES.index("malignant")
        if 0 < malignant.sum() < len(labels):
            row["auc"] = float(roc_auc_score(malignant, probability[:, CLASSES.index("malignant")]))
    parts = [row[k] for k in ("dice", "auc" if "auc" in row else "accuracy") if k in row]
    return row | {"score": float(np.mean(parts)) if parts else 0.0}

"""Adversarial changes: how much worse answers get when every pixel may move by a grey level or a few.

No scanner makes such changes: they show how far a network's answer hangs on things nobody sees. Both attacks know the
network (white box) and move the prepared image x within the ball ‖x' − x‖∞ ≤ ε, clipped to 0..1; the black border
beside the picture is no part of it and stays. A stronger attack may do more harm: what they find is a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from senoscope.errors import UsageError
from senoscope.evaluation.network import Change
from senoscope.imaging.preprocess import Frame, Preprocess
from senoscope.models.interface import Outputs
from senoscope.schema import CLASSES, Sample
from senoscope.training.losses import mask_loss

Loss = Callable[[Tensor], Tensor]
"""From an image 1×1×S×S to the number that an attack makes larger."""

ATTACKS = ("fgsm", "pgd")
EPSILONS = (1, 2, 4, 8)
"""Radii ε that are measured, in 255ths: grey levels of an 8-bit image."""

STEPS = 10


def fgsm(loss: Loss, image: Tensor, epsilon: float, inside: Tensor) -> Tensor:
    """x' = clip(x + ε·sign ∇L(x)): the fast gradient sign method (Goodfellow et al. 2015, section 4).

    ``inside`` 1×1×S×S is 1 where the image may be changed and 0 elsewhere.
    """
    return (image + epsilon * _gradient(loss, image).sign() * inside).clamp(0, 1)


def pgd(loss: Loss, image: Tensor, epsilon: float, inside: Tensor, rng: np.random.Generator) -> Tensor:
    """Projected gradient descent (Madry et al. 2018, section 2.1): ``STEPS`` steps of ε/4 from a random start.

    After each step x is put back into the ball and into 0..1; the last x is the answer.
    """
    noise = rng.uniform(-epsilon, epsilon, tuple(image.shape)).astype(np.float32)
    changed = (image + torch.from_numpy(noise) * inside).clamp(0, 1)
    for _ in range(STEPS):
        step = changed + epsilon / 4 * _gradient(loss, changed).sign() * inside
        changed = (image + (step - image).clamp(-epsilon, epsilon)).clamp(0, 1)
    return changed


def attack(
    name: str, epsilon: float, sample: Sample, preprocess: Preprocess, rng: np.random.Generator
) -> Change:
    """The change of a sample's network input by one of ``ATTACKS``, for :meth:`network.TorchNetwork.row`.

    What is made larger is the cross-entropy of the true class; for a network without classes (or an image without a
    label) Dice plus cross-entropy of the true mask, as in training. A sample whose truth is unknown stays as it is.
    """

    def change(image: Tensor, answer: Callable[[Tensor], Outputs], frame: Frame) -> Tensor:
        loss = _loss(sample, preprocess, answer)
        if loss is None:
            return image
        inside = torch.zeros_like(image)
        inside[..., frame.top : frame.top + frame.rows, frame.left : frame.left + frame.columns] = 1
        if name == "fgsm":
            return fgsm(loss, image, epsilon, inside)
        return pgd(loss, image, epsilon, inside, rng)

    return change


def _loss(sample: Sample, preprocess: Preprocess, answer: Callable[[Tensor], Outputs]) -> Loss | None:
    label = CLASSES.index(sample.label) if sample.label in CLASSES else None
    mask = None if sample.mask is None else torch.from_numpy(preprocess.apply_mask(sample.mask)).float()

    def loss(image: Tensor) -> Tensor:
        outputs = answer(image)
        if outputs.class_logits is not None and label is not None:
            return functional.cross_entropy(outputs.class_logits.float(), torch.tensor([label]))
        if outputs.mask_logits is not None and mask is not None:
            return mask_loss(outputs.mask_logits.float(), mask[None, None], torch.tensor([True]))
        return image.sum() * 0

    return None if label is None and mask is None else loss


def _gradient(loss: Loss, image: Tensor) -> Tensor:
    with torch.enable_grad():
        image = image.detach().requires_grad_()
        value = loss(image)
        found = torch.autograd.grad(value, image, allow_unused=True)[0] if value.requires_grad else None
    if found is None:
        raise UsageError(
            "this network's answer has no gradient (its last stage is fitted, not trained)",
            expected="a network whose loss can be differentiated by the image",
            fix="leave --adversarial out",
        )
    return found

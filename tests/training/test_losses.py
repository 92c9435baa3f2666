from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from torch.nn import functional

from senoscope.training.losses import class_loss, class_weights, mask_loss

torch.manual_seed(0)
LOGITS = torch.randn(3, 1, 8, 8)
MASKS = (torch.rand(3, 1, 8, 8) > 0.7).float()


def test_mask_loss_is_cross_entropy_plus_monais_dice() -> None:
    dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)(LOGITS, MASKS)
    entropy = functional.binary_cross_entropy_with_logits(LOGITS, MASKS)
    known = torch.tensor([True, True, True])
    torch.testing.assert_close(mask_loss(LOGITS, MASKS, known), dice + entropy)


def test_an_unknown_mask_has_no_say() -> None:
    known = torch.tensor([True, False, True])
    chosen = [0, 2]
    expected = mask_loss(LOGITS[chosen], MASKS[chosen], torch.tensor([True, True]))
    torch.testing.assert_close(mask_loss(LOGITS, MASKS, known), expected)
    assert mask_loss(LOGITS, MASKS, torch.zeros(3, dtype=torch.bool)) == 0


def test_an_empty_mask_counts_by_cross_entropy_alone() -> None:
    empty = torch.zeros(1, 1, 8, 8)
    found = mask_loss(LOGITS[:1], empty, torch.tensor([True]))
    torch.testing.assert_close(found, functional.binary_cross_entropy_with_logits(LOGITS[:1], empty))


def test_an_unknown_label_has_no_say() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 0.5])
    known = functional.cross_entropy(logits[:2], torch.tensor([1, 2]), weights)
    torch.testing.assert_close(class_loss(logits, torch.tensor([1, 2, -1, -1]), weights), known)
    nothing = class_loss(logits, torch.full((4,), -1), weights)
    nothing.backward()
    assert nothing == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_class_weights_by_hand() -> None:
    labels = np.array([0, 1, 1, 1, 1, -1])
    # frequencies 1 and 4, power 1/2: 1 and 1/2, mean over the five labels (1 + 4/2)/5 = 0.6; class 2 is absent
    assert class_weights(labels, 3, 0.5).tolist() == pytest.approx([1 / 0.6, 0.5 / 0.6, 1.0])
    assert class_weights(labels, 3, 0.0).tolist() == [1.0, 1.0, 1.0]
    assert class_weights(np.array([-1]), 3).tolist() == [1.0, 1.0, 1.0]

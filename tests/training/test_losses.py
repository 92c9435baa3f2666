from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from torch.nn import functional
from torchvision.ops import box_convert, generalized_box_iou, sigmoid_focal_loss

from senoscope.training.losses import (
    BOX_LOSSES,
    CLASS_LOSSES,
    MASK_LOSSES,
    class_loss,
    class_weights,
    mask_loss,
)
from senoscope.training.losses.classes import focal_class_loss
from senoscope.training.losses.masks import signed_distance
from senoscope.training.recipe import Recipe

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


@pytest.mark.parametrize(
    ("key", "losses"), [("mask_loss", MASK_LOSSES), ("class_loss", CLASS_LOSSES), ("box_loss", BOX_LOSSES)]
)
def test_a_recipe_can_name_every_loss_and_no_other(key: str, losses: dict[str, object]) -> None:
    assert Recipe.model_fields[key].annotation.__args__ == tuple(losses)  # type: ignore[union-attr]


KNOWN = torch.tensor([True, False, True])


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_every_mask_loss_ignores_unknown_masks(name: str) -> None:
    loss = MASK_LOSSES[name]
    logits = LOGITS.clone().requires_grad_()
    found = loss(logits, MASKS, KNOWN)
    torch.testing.assert_close(
        found, (loss(LOGITS[:1], MASKS[:1], KNOWN[:1]) + loss(LOGITS[2:], MASKS[2:], KNOWN[2:])) / 2
    )
    found.backward()
    assert logits.grad is not None
    assert logits.grad[KNOWN].any(dim=3).all()
    assert not logits.grad[~KNOWN].any()
    nothing = loss(logits, MASKS, torch.zeros(3, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(nothing, logits)
    assert nothing == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", MASK_LOSSES)
@pytest.mark.parametrize("masks", [MASKS, torch.zeros_like(MASKS), torch.ones_like(MASKS)])
def test_every_mask_loss_falls_to_zero_at_the_truth(name: str, masks: torch.Tensor) -> None:
    known = torch.ones(3, dtype=torch.bool)
    worst, random, best = (
        MASK_LOSSES[name](v, masks, known) for v in (12 - 24 * masks, LOGITS, 24 * masks - 12)
    )
    assert worst > random > best >= 0
    assert best < 1e-3


def test_dice_and_tversky_by_hand() -> None:
    logits = torch.tensor([[20.0, 20.0], [-20.0, 0.0]]).reshape(1, 1, 2, 2)  # probabilities 1, 1, 0, 0.5
    masks = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).reshape(1, 1, 2, 2)
    known = torch.tensor([True])
    # true positives 1.5, false positives 1, false negatives 1.5
    assert float(MASK_LOSSES["dice"](logits, masks, known)) == pytest.approx(1 - (3 + 1) / (2.5 + 3 + 1))
    tversky = 1 - (1.5 + 1) / (1.5 + 0.3 * 1 + 0.7 * 1.5 + 1)
    assert float(MASK_LOSSES["tversky"](logits, masks, known)) == pytest.approx(tversky)
    empty = torch.zeros_like(masks)
    assert float(MASK_LOSSES["dice"](logits, empty, known)) == pytest.approx(1 - 1 / (2.5 + 1))
    assert float(MASK_LOSSES["tversky"](logits, empty, known)) == pytest.approx(1 - 1 / (0.3 * 2.5 + 1))


def test_pixel_losses_against_torch_and_torchvision() -> None:
    known = torch.ones(3, dtype=torch.bool)
    entropy = functional.binary_cross_entropy_with_logits(LOGITS, MASKS)
    torch.testing.assert_close(MASK_LOSSES["bce"](LOGITS, MASKS, known), entropy)
    focal = sigmoid_focal_loss(LOGITS, MASKS, alpha=-1, gamma=2, reduction="mean")
    torch.testing.assert_close(MASK_LOSSES["focal"](LOGITS, MASKS, known), focal)


def test_signed_distance_by_hand() -> None:
    masks = torch.zeros(3, 1, 5, 6)
    masks[0, 0, 1:4, 1:4] = 1
    masks[1] = 1
    root = math.sqrt(2)
    assert signed_distance(masks)[0, 0].tolist() == [
        pytest.approx(row)
        for row in (
            [root, 1, 1, 1, root, math.sqrt(5)],
            [1, 0, 0, 0, 1, 2],
            [1, 0, -1, 0, 1, 2],
            [1, 0, 0, 0, 1, 2],
            [root, 1, 1, 1, root, math.sqrt(5)],
        )
    ]
    assert not signed_distance(masks)[1:].any(), "full and empty masks have no outline"


def test_boundary_loss_is_the_regional_loss_plus_distance_times_error() -> None:
    masks = torch.zeros(1, 1, 1, 8)
    masks[..., :2] = 1  # distances -1, 0, then 1 to 6
    known = torch.tensor([True])

    def extra(place: int) -> float:
        logits = 40 * masks - 20
        logits[..., place] *= -1  # one pixel wrong
        found = MASK_LOSSES["boundary"](logits, masks, known) - mask_loss(logits, masks, known)
        return float(found)

    # its distance over the side (8), mean over 8 pixels
    assert [extra(place) for place in (0, 1, 2, 7)] == pytest.approx([1 / 64, 0, 1 / 64, 6 / 64], abs=1e-6)


def test_focal_class_loss_is_cross_entropy_times_focus() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, -1, 1, 2])
    weights = torch.tensor([1.0, 2.0, 0.5])
    for smoothing in (0.0, 0.1):
        torch.testing.assert_close(
            focal_class_loss(logits, labels, weights, smoothing, gamma=0.0),
            class_loss(logits, labels, weights, smoothing),
        )
    # by hand: one image, p = (0.7, 0.2, 0.1), truth 1, weight cancels: (1 - 0.2)² · -log 0.2
    one = torch.tensor([[0.7, 0.2, 0.1]]).log()
    found = CLASS_LOSSES["focal"](one, torch.tensor([1]), weights, 0.0)
    assert float(found) == pytest.approx(0.64 * -math.log(0.2))


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_every_class_loss_ignores_unknown_labels(name: str) -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 0.5])
    loss = CLASS_LOSSES[name]
    labels = torch.tensor([1, 2, -1, -1])
    torch.testing.assert_close(
        loss(logits, labels, weights, 0.05), loss(logits[:2], labels[:2], weights, 0.05)
    )
    nothing = loss(logits, torch.full((4,), -1), weights, 0.05)
    (gradient,) = torch.autograd.grad(nothing, logits)
    assert nothing == 0
    assert not gradient.any()


BOXES = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.5, 0.5], [0.6, 0.6, 0.2, 0.2]])
WANTED = torch.tensor([[0.2, 0.2, 0.3, 0.3], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]])


def test_giou_loss_by_hand_and_against_torchvision() -> None:
    first, second = torch.tensor([True, False, False]), torch.tensor([False, True, False])
    # 0.2·0.3 = 0.06 shared of 0.12 + 0.09 - 0.06 = 0.15; around both 0.4·0.4 = 0.16
    by_hand = 1 - (0.06 / 0.15 - (0.16 - 0.15) / 0.16)
    assert float(BOX_LOSSES["giou"](BOXES, WANTED, first)) == pytest.approx(by_hand, abs=1e-5)
    # side by side: nothing shared, half of the square around both is empty
    assert float(BOX_LOSSES["giou"](BOXES, WANTED, second)) == pytest.approx(1.5, abs=1e-5)
    corners = [box_convert(b[:2], "xywh", "xyxy") for b in (BOXES, WANTED)]
    wanted = (1 - generalized_box_iou(*corners).diag()).mean()
    found = BOX_LOSSES["giou"](BOXES, WANTED, first | second)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_giou_loss_turns_a_box_round() -> None:
    turned = torch.tensor([[0.4, 0.6, -0.3, -0.4]], requires_grad=True)  # BOXES[0] from its far corner
    known = torch.tensor([True])
    found = BOX_LOSSES["giou"](turned, WANTED[:1], known)
    torch.testing.assert_close(found, BOX_LOSSES["giou"](BOXES[:1], WANTED[:1], known))
    found.backward()
    assert turned.grad is not None
    assert turned.grad.any()


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_every_box_loss_ignores_unknown_boxes(name: str) -> None:
    boxes = BOXES.clone().requires_grad_()
    loss = BOX_LOSSES[name]
    found = loss(boxes, WANTED, torch.tensor([True, True, False]))
    torch.testing.assert_close(found, loss(BOXES[:2], WANTED[:2], torch.tensor([True, True])))
    (gradient,) = torch.autograd.grad(found, boxes)
    assert gradient[:2].any(1).all()
    assert not gradient[2].any()
    nothing = loss(boxes, WANTED, torch.zeros(3, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(nothing, boxes)
    assert nothing == 0
    assert not gradient.any()

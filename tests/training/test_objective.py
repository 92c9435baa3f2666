"""One loss per task, from whatever outputs a system has; values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from senoscope.models.interface import Outputs, System
from senoscope.training.losses import box_loss, class_loss, mask_loss
from senoscope.training.objective import (
    Targets,
    boxes_of,
    contour_of,
    fixed_weights,
    task_losses,
    weighted_sum,
)
from senoscope.training.recipe import make_recipe


class Still(System):
    """Answers nothing; its own loss is what it is told to be."""

    def __init__(self, own: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        self.own = own or {}

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        return Outputs()

    def own_losses(self, outputs: Outputs, masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return self.own


def recipe(**keys: Any) -> Any:
    return make_recipe({"name": "r", "data": [{"name": "busi"}], "label_smoothing": 0.0, **keys})


@pytest.fixture
def targets() -> Targets:
    masks = torch.zeros(3, 1, 8, 8)
    masks[0, 0, 2:6, 1:4] = 1
    masks[2, 0, 7, 7] = 1
    return Targets(masks, torch.tensor([True, True, False]), torch.tensor([1, 0, -1]))


def test_boxes_are_those_around_the_masks(targets: Targets) -> None:
    boxes, filled = boxes_of(targets.masks)
    assert filled.tolist() == [True, False, True]
    assert boxes[0].tolist() == [1 / 8, 2 / 8, 3 / 8, 4 / 8]
    assert boxes[1].tolist() == [0, 0, 0, 0]
    assert boxes[2].tolist() == [7 / 8, 7 / 8, 1 / 8, 1 / 8]


def test_a_contour_is_the_rim_on_both_sides(targets: Targets) -> None:
    rim = contour_of(targets.masks)[0, 0]
    assert int(rim.sum()) == 6 * 5 - 2 * 1  # the grown box (6 x 5) less what is left after shrinking (2 x 1)
    assert rim[3:5, 2].sum() == 0
    assert contour_of(targets.masks)[1].sum() == 0


def test_every_output_has_its_loss_and_unknown_truth_has_no_say(targets: Targets) -> None:
    torch.manual_seed(0)
    outputs = Outputs(torch.randn(3, 3), torch.randn(3, 1, 8, 8), boxes=torch.rand(3, 4))
    found = task_losses(Still(), outputs, targets, recipe(box_loss="smooth-l1"), torch.ones(3))
    assert found.keys() == {"class", "mask", "box"}
    boxes, _ = boxes_of(targets.masks)
    only_first = torch.tensor([True, False, False])  # the third has a box, but its mask is not known
    torch.testing.assert_close(found["box"], box_loss(outputs.boxes, boxes, only_first))  # type: ignore[arg-type]
    assert outputs.class_logits is not None
    torch.testing.assert_close(
        found["class"], class_loss(outputs.class_logits, targets.labels, torch.ones(3))
    )


def test_auxiliary_outputs_count_by_their_mean_at_their_own_size(targets: Targets) -> None:
    torch.manual_seed(0)
    main, small = torch.randn(3, 1, 8, 8), torch.zeros(3, 1, 4, 4)
    outputs = Outputs(mask_logits=main, auxiliary=(Outputs(mask_logits=main), Outputs(mask_logits=small)))
    found = task_losses(Still(), outputs, targets, recipe(auxiliary_weight=0.5), torch.ones(3))["mask"]
    reduced = torch.zeros(3, 1, 4, 4)
    reduced[0, 0, 1:3, 0:2] = 1  # columns 1 to 3 of 8 fill half of the first pixel and all of the second
    reduced[2, 0, 3, 3] = 0  # a quarter of a pixel is not enough
    each = [mask_loss(main, targets.masks, targets.has_mask), mask_loss(small, reduced, targets.has_mask)]
    torch.testing.assert_close(found, each[0] + 0.25 * (each[0] + each[1]))


def test_a_systems_own_loss_replaces_the_recipes(targets: Targets) -> None:
    own = Still({"class": torch.tensor(7.0), "routing": torch.tensor(2.0)})
    found = task_losses(own, Outputs(class_logits=torch.zeros(3, 3)), targets, recipe(), torch.ones(3))
    assert {key: float(value) for key, value in found.items()} == {"class": 7.0, "routing": 2.0}
    weights = fixed_weights(recipe(class_weight=0.5))
    assert math.isclose(float(weighted_sum(found, weights)), 0.5 * 7 + 2)

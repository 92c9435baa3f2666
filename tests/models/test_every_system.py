"""What every row of the systems' catalog must keep, whatever the architecture: a new system is tested by its row.

Networks are built small (``tiny`` in their row); ``SENOSCOPE_FULL_WALK=1`` (make test-systems) walks them at full size.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.walk import build, eight_phantoms, recipe_of, sizes

from senoscope import models
from senoscope.export import export_onnx
from senoscope.imaging import Preprocess
from senoscope.inference.runtimes import INPUT
from senoscope.models.interface import FittedSystem, Outputs, System
from senoscope.training.losses import class_weights
from senoscope.training.objective import fixed_weights, task_losses, weighted_sum

WHOLE = bool(os.environ.get("SENOSCOPE_FULL_WALK"))
FIDELITIES = {"exact", "close", "interpretation"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", models.names())


def given(outputs: Outputs) -> dict[str, torch.Tensor]:
    return {k: v for k, v in outputs._asdict().items() if k != "auxiliary" and v is not None}


def call(system: System, images: torch.Tensor, masks: torch.Tensor) -> Outputs:
    outputs: Outputs = system(images, mask=masks if system.uses_mask else None)
    return outputs


def test_the_row_says_what_a_reader_needs(name: str) -> None:
    row = models.info(name).facts
    assert row["fidelity"] in FIDELITIES
    assert {"image"} <= set(row["needs"]) <= {"image", "mask", "label", "box"}
    assert row["task"] == "+".join(
        word for word, key in (("classify", "class_logits"), ("segment", "mask_logits"), ("detect", "boxes"))
        if key in row["gives"]
    )  # fmt: skip
    assert 1998 <= row["year"] <= 2026
    for key in ("source", "about", "blocks", "gaps"):
        assert len(row[key].strip()) > 10, key


def test_parameters_are_those_of_the_catalog_and_of_the_paper(name: str) -> None:
    row = models.info(name).facts
    with torch.device("meta"):
        count = sum(weight.numel() for weight in models.create_model(name).parameters())
    assert count == row["params"]
    if "params_published" in row:
        apart = abs(count / row["params_published"] - 1)
        assert apart <= 0.02 or len(row.get("params_differ", "")) > 20, (
            f"{apart:.1%} apart, and no reason given"
        )


def test_forward_at_two_sizes_and_with_one_image(name: str) -> None:
    row = models.info(name).facts
    for size, count in zip(sizes(name), (2, 1), strict=True):
        system = build(name, size, whole=WHOLE).eval()
        images, targets = eight_phantoms(size)
        with torch.inference_mode():
            outputs = given(call(system, images[:count], targets.masks[:count]))
        assert set(outputs) == set(row["gives"])
        shapes = {"class_logits": (count, 3), "mask_logits": (count, 1, size, size), "boxes": (count, 4)}
        for key in shapes.keys() & outputs.keys():
            assert tuple(outputs[key].shape) == shapes[key]
        assert all(value.dtype == torch.float32 and torch.isfinite(value).all() for value in outputs.values())
        if "class_map" in outputs:
            total = (outputs["class_map"] * outputs["pool_weights"]).sum((2, 3))
            torch.testing.assert_close(total, outputs["class_logits"], atol=1e-4, rtol=1e-4)


def test_every_image_is_answered_on_its_own(name: str) -> None:
    """In use, an answer does not depend on what else is in the batch."""
    size = sizes(name)[0]
    system = build(name, size, whole=WHOLE).eval()
    images, targets = eight_phantoms(size)
    with torch.inference_mode():
        together = given(call(system, images[1:4], targets.masks[1:4]))
        alone = given(call(system, images[2:3], targets.masks[2:3]))
    for key, value in alone.items():
        torch.testing.assert_close(together[key][1:2], value, atol=1e-3, rtol=1e-3)


def test_gradients_reach_every_parameter(name: str) -> None:
    """In one stage of training or another."""
    size = sizes(name)[0]
    system = build(name, size, whole=WHOLE).train()
    images, targets = eight_phantoms(size)
    recipe, weights = recipe_of(name), torch.ones(3)
    for epoch in range(4):
        system.begin_epoch(epoch, 4)
        losses = task_losses(
            system, call(system, images[:4], targets.masks[:4]), cut(targets, 4), recipe, weights
        )
        weighted_sum(losses, fixed_weights(recipe)).backward()
    blind = [k for k, weight in system.named_parameters() if weight.requires_grad and weight.grad is None]
    assert blind == []


def cut(targets: Any, count: int) -> Any:
    return type(targets)(targets.masks[:count], targets.has_mask[:count], targets.labels[:count])


def test_it_can_learn_eight_phantoms_by_heart(name: str) -> None:
    """At full size some rows name larger images: of 64 px a coarse map sees four points, too few for an outline."""
    row = models.info(name).facts
    learn = {"size": sizes(name)[0], "steps": 200, "lr": 3e-3, **row.get("overfit", {})}
    if WHOLE:
        learn |= row.get("overfit_whole", {})
    size = learn["size"]
    system = build(name, size, whole=WHOLE)
    images, targets = eight_phantoms(size)
    recipe, weights = recipe_of(name), class_weights(targets.labels.numpy(), 3, 0.0)
    trained = [weight for weight in system.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=learn["lr"])
    history = []
    for step in range(learn["steps"]):
        system.train()
        system.begin_epoch(step, learn["steps"])
        losses = task_losses(system, call(system, images, targets.masks), targets, recipe, weights)
        loss = weighted_sum(losses, fixed_weights(recipe))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        history.append(float(loss.detach()))
        if step % 10 == 9 and learned(system, images, targets, history):
            break
    assert learned(system, images, targets, history, final=True)


def learned(
    system: System, images: torch.Tensor, targets: Any, history: list[float], *, final: bool = False
) -> bool:
    """The loss fell tenfold, and mask Dice is above 0.9 or, without a mask, all classes are right."""
    if min(history) > history[0] / 10 and not final:
        return False
    system.eval()
    with torch.inference_mode():
        if isinstance(system, FittedSystem):
            system.fit(system.features(images).float().numpy(), targets.labels.numpy(), 0)
        outputs = call(system, images, targets.masks)
    if final:
        assert min(history) <= history[0] / 10, (
            f"the loss fell from {history[0]:.3f} to {min(history):.3f} only"
        )
    if outputs.mask_logits is not None:
        filled = targets.masks.flatten(1).any(1)
        found, truth = outputs.mask_logits[filled] > 0, targets.masks[filled] > 0
        dice = float(2 * (found & truth).sum() / (found.sum() + truth.sum()))
        if final:
            assert dice > 0.9
        return dice > 0.9
    if outputs.class_logits is None:
        return True
    accuracy = float((outputs.class_logits.argmax(1) == targets.labels).float().mean())
    if final:
        assert accuracy == 1.0
    return accuracy == 1.0


def test_what_is_saved_loads_again_to_the_same_answers(name: str, tmp_path: Path) -> None:
    size = sizes(name)[0]
    system = build(name, size)
    images, targets = eight_phantoms(size)
    if isinstance(system, FittedSystem):
        with torch.inference_mode():
            system.eval().fit(system.features(images).float().numpy(), targets.labels.numpy(), 0)
    save_file({k: v.contiguous().clone() for k, v in system.state_dict().items()}, tmp_path / "w.safetensors")
    torch.manual_seed(1)
    other = models.create_model(name, image_size=size, **models.info(name).facts.get("tiny", {}))
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    with torch.inference_mode():
        one, two = (given(call(s.eval(), images[:2], targets.masks[:2])) for s in (system, other))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value)


def test_torch_and_onnx_runtime_agree(name: str, tmp_path: Path) -> None:
    row = models.info(name).facts
    if "no_onnx" in row:
        assert len(row["no_onnx"]) > 20, "a reason"
        return
    size = -(-sizes(name)[0] // 32) * 32
    system = build(name, size).eval()
    images, targets = eight_phantoms(size)
    if isinstance(system, FittedSystem):
        with torch.inference_mode():
            system.fit(system.features(images).float().numpy(), targets.labels.numpy(), 0)
    with torch.no_grad():
        for value in system.state_dict().values():
            if value.is_floating_point() and value.ndim > 1:
                value.copy_(value.half().float())  # as export stores them
    export_onnx(system, Preprocess(size=size), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    assert set(names) == set(row["gives"])
    found = dict(zip(names, session.run(names, {INPUT: images[3:5].numpy()}), strict=True))
    with torch.inference_mode():
        wanted = given(system(images[3:5]))
    for key, turn in (
        ("class_logits", lambda x: x.softmax(1)),
        ("mask_logits", torch.sigmoid),
        ("boxes", lambda x: x),
    ):
        if key in wanted:
            assert np.abs(turn(torch.from_numpy(found[key])) - turn(wanted[key])).max() <= 1e-4

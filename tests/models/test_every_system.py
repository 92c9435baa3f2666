"""What every row of the systems' catalog must keep, whatever the architecture: a new system is tested by its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from senoscope import models
from senoscope.data.phantoms import simulate
from senoscope.export import export_onnx
from senoscope.imaging import Preprocess, read_image, to_gray
from senoscope.inference.runtimes import INPUT, OUTPUTS

SIZE = 64


@pytest.fixture(scope="module", params=models.names())
def system(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Any]:
    """A system's catalog row and the system, untrained, its weights rounded as export stores them."""
    torch.manual_seed(0)
    model = models.create_model(request.param).eval()
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point() and value.ndim > 1:
                value.copy_(value.half().float())
    return models.info(request.param).as_dict(), model


def test_parameters_are_those_of_the_catalog(system: tuple[dict[str, Any], Any]) -> None:
    row, model = system
    assert sum(weight.numel() for weight in model.parameters()) == row["params"]


def test_outputs_are_those_of_the_catalog_in_their_shapes(system: tuple[dict[str, Any], Any]) -> None:
    row, model = system
    with torch.inference_mode():
        outputs = model(torch.rand(2, 1, SIZE, SIZE))
    assert {name for name, value in outputs._asdict().items() if value is not None} == set(row["gives"])
    shapes = {"class_logits": (2, 3), "mask_logits": (2, 1, SIZE, SIZE), "boxes": (2, 4)}
    for name in shapes.keys() & set(row["gives"]):
        assert tuple(getattr(outputs, name).shape) == shapes[name]
    assert all(torch.isfinite(value).all() for value in outputs if value is not None)


def test_every_image_is_answered_on_its_own(system: tuple[dict[str, Any], Any]) -> None:
    """In use, an answer does not depend on what else is in the batch."""
    _, model = system
    batch = torch.rand(3, 1, SIZE, SIZE)
    with torch.inference_mode():
        together, alone = model(batch), model(batch[1:2])
    for name in alone._fields:
        if getattr(alone, name) is not None:
            torch.testing.assert_close(
                getattr(together, name)[1:2], getattr(alone, name), atol=1e-4, rtol=1e-4
            )


def test_gradients_reach_every_parameter(system: tuple[dict[str, Any], Any]) -> None:
    row, _ = system
    torch.manual_seed(1)
    model: Any = models.create_model(row["name"]).train()
    outputs = model(torch.rand(2, 1, SIZE, SIZE))
    sum(value.square().mean() for value in outputs if value is not None).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_from_the_raw_file_torch_and_onnx_runtime_agree(
    system: tuple[dict[str, Any], Any], tmp_path: Path
) -> None:
    row, model = system
    if not set(OUTPUTS) <= set(row["gives"]):
        pytest.skip(f"{row['name']} does not give all that a bundle needs")
    preprocess = Preprocess(size=SIZE)
    Image.fromarray(simulate(5, "malignant").image).save(tmp_path / "exam.png")
    export_onnx(model, preprocess, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])

    image, frame = preprocess.apply(to_gray(read_image(tmp_path / "exam.png")))
    found = dict(zip(OUTPUTS, session.run(OUTPUTS, {INPUT: image[None, None]}), strict=True))
    with torch.inference_mode():
        wanted = model(torch.from_numpy(image)[None, None])

    ours = torch.softmax(torch.from_numpy(found["class_logits"]), 1)
    assert float((ours - torch.softmax(wanted.class_logits, 1)).abs().max()) <= 1e-4
    masks = [
        frame.to_original(torch.sigmoid(logits)[0, 0].numpy())
        for logits in (torch.from_numpy(found["mask_logits"]), wanted.mask_logits)
    ]
    assert masks[0].shape == (256, 256)
    assert float(np.abs(masks[0] - masks[1]).max()) <= 1e-4

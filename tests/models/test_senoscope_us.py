from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models.densenet import DenseBlock
from torch.nn import functional

from senoscope import models
from senoscope.errors import UsageError, WeightsError
from senoscope.models.blocks.encoder import (
    ChainedDenseBlock,
    MobileNetV2Encoder,
    StridedDepthwise,
    load_encoder,
    quicken,
)
from senoscope.models.interface import Outputs


@pytest.fixture(scope="module")
def model() -> models.interface.System:  # type: ignore[name-defined]
    torch.manual_seed(0)
    return models.create_model("senoscope-us").eval()


def test_parameters_are_those_of_the_catalog_and_at_most_three_million(model: torch.nn.Module) -> None:
    count = sum(p.numel() for p in model.parameters())
    assert count == models.info("senoscope-us").facts["params"]
    assert count <= 3_000_000


def test_multiply_accumulates_are_those_of_the_catalog(model: torch.nn.Module) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    facts = models.info("senoscope-us").facts
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 1, facts["native_size"], facts["native_size"]))
    assert counter.get_total_flops() / 2e9 == pytest.approx(facts["gmacs"], rel=0.01)


@pytest.mark.parametrize(("batch", "size"), [(1, 64), (2, 96)])
def test_shapes_and_the_class_is_its_activation_map(model: torch.nn.Module, batch: int, size: int) -> None:
    outputs: Outputs = model(torch.rand(batch, 1, size, size))
    assert outputs.class_logits is not None
    assert outputs.mask_logits is not None
    assert outputs.class_map is not None
    assert outputs.pool_weights is not None
    assert outputs.class_logits.shape == (batch, 3)
    assert outputs.mask_logits.shape == (batch, 1, size, size)
    assert outputs.class_map.shape == (batch, 3, size // 16, size // 16)
    torch.testing.assert_close(outputs.pool_weights.sum((2, 3)), torch.ones(batch, 1))
    torch.testing.assert_close((outputs.class_map * outputs.pool_weights).sum((2, 3)), outputs.class_logits)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = models.create_model("senoscope-us").train()
    outputs = model(torch.rand(2, 1, 64, 64))
    assert outputs.class_logits is not None
    assert outputs.mask_logits is not None
    (
        functional.cross_entropy(outputs.class_logits, torch.tensor([0, 2]))
        + outputs.mask_logits.square().mean()
    ).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.slow
def test_it_overfits_eight_phantoms() -> None:
    from senoscope.data.phantoms import simulate
    from senoscope.schema import CLASSES
    from senoscope.training.losses import mask_loss

    torch.manual_seed(0)
    cases = [simulate(seed, ("benign", "malignant")[seed % 2], 96) for seed in range(8)]
    images = torch.from_numpy(np.stack([c.image for c in cases])).float().div(255).unsqueeze(1)
    masks = torch.from_numpy(np.stack([c.mask for c in cases])).float().unsqueeze(1)
    labels = torch.tensor([CLASSES.index(c.label) for c in cases])
    model = models.create_model("senoscope-us", dropout=0.0).train()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    losses = []
    for _ in range(60):
        outputs = model(images)
        loss = functional.cross_entropy(outputs.class_logits, labels)
        loss = loss + mask_loss(outputs.mask_logits, masks, torch.ones(8, dtype=torch.bool))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    predicted = outputs.mask_logits >= 0
    dice = 2 * (predicted * masks).sum() / (predicted.sum() + masks.sum())
    assert losses[-1] < losses[0] / 10
    assert dice > 0.9
    assert (outputs.class_logits.argmax(1) == labels).all()


def test_a_gray_image_gives_what_its_three_channels_gave(tmp_path: Path) -> None:
    """Summed stem filters on one channel equal the colour stem on three equal channels."""
    stem = torch.randn(32, 3, 3, 3)
    state = {k: v for k, v in MobileNetV2Encoder().state_dict().items() if "num_batches" not in k}
    save_file({**state, "conv_stem.weight": stem}, tmp_path / "colour.safetensors")
    encoder = load_encoder(tmp_path / "colour.safetensors")
    gray = torch.rand(1, 1, 32, 32)
    expected = functional.conv2d(gray.repeat(1, 3, 1, 1), stem, stride=2, padding=1)
    torch.testing.assert_close(encoder.conv_stem(gray), expected, rtol=1e-4, atol=1e-5)


def test_strided_depthwise_is_a_convolution_in_either_precision() -> None:
    layers = [m for m in MobileNetV2Encoder().modules() if isinstance(m, StridedDepthwise)]
    assert len(layers) == 4
    plain = torch.nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
    own = StridedDepthwise(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
    own.load_state_dict(plain.state_dict())
    x = torch.randn(2, 8, 10, 10)
    assert torch.equal(own(x), plain(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert own(x.bfloat16()).dtype == torch.float32
        torch.testing.assert_close(own(x), plain(x).float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_a_chained_dense_block_is_timms(drop: float) -> None:
    torch.manual_seed(0)
    theirs = DenseBlock(3, 8, 4, 4, drop_rate=drop)
    own = quicken(copy.deepcopy(theirs))
    assert type(own) is ChainedDenseBlock
    images = [torch.randn(2, 8, 6, 6).requires_grad_() for _ in range(2)]
    images[1].data.copy_(images[0].data)
    answers = []
    for block, image in zip((theirs, own), images, strict=True):
        torch.manual_seed(1)  # the same features are dropped
        answers.append(block(image))
        (answers[-1] ** 2).sum().backward()
    assert torch.equal(*answers)
    torch.testing.assert_close(images[0].grad, images[1].grad)
    for (name, weight), other in zip(theirs.named_parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, msg=name)
        assert weight.grad is not None


def test_rows_52_to_56_weights_that_are_unsafe_damaged_or_foreign(tmp_path: Path) -> None:
    state = {k: v for k, v in MobileNetV2Encoder().state_dict().items() if "num_batches" not in k}
    pickled = tmp_path / "weights.pt"
    torch.save(state, pickled)
    good = tmp_path / "good.safetensors"
    save_file(state, good)
    cut, huge, foreign, nan = (tmp_path / f"{n}.safetensors" for n in ("cut", "huge", "foreign", "nan"))
    cut.write_bytes(good.read_bytes()[:-1000])
    huge.write_bytes((2**60).to_bytes(8, "little") + b"{}")
    save_file({"fc.weight": torch.zeros(2, 2)}, foreign)
    save_file({**state, "bn1.bias": torch.full((32,), float("nan"))}, nan)
    for path, words in [
        (pickled, "never read"),
        (cut, "cannot be read"),
        (huge, "cannot be read"),
        (foreign, "missing or of another shape"),
        (nan, "NaN"),
        (tmp_path / "none.safetensors", "does not exist"),
    ]:
        with pytest.raises(WeightsError, match=words):
            load_encoder(path)


def test_a_wrong_name_lists_the_nearest() -> None:
    with pytest.raises(UsageError, match="senoscope-us"):
        models.create_model("senoscop-us")


def test_with_mirror_it_answers_with_the_mean_of_both_views(model: torch.nn.Module) -> None:
    double = models.create_model("senoscope-us", mirror=True).eval()
    double.load_state_dict(model.state_dict())
    image = torch.rand(1, 1, 64, 96)
    seen, mirrored, mean = model(image), model(image.flip(3)), double(image)
    torch.testing.assert_close(mean.class_logits, (seen.class_logits + mirrored.class_logits) / 2)
    torch.testing.assert_close(mean.mask_logits, (seen.mask_logits + mirrored.mask_logits.flip(3)) / 2)
    torch.testing.assert_close(mean.pool_weights.sum((2, 3)), torch.ones(1, 1))
    torch.testing.assert_close(double(image.flip(3)).class_logits, mean.class_logits)


def test_shifted_classes_are_shifted_by_just_that() -> None:
    model = models.create_model("senoscope-us").eval()
    image, offset = torch.rand(2, 1, 64, 64), torch.tensor([0.5, 0.0, -1.0])
    before = model(image).class_logits
    model.shift_classes(offset)
    torch.testing.assert_close(model(image).class_logits, before + offset)

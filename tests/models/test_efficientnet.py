"""The classifier of mammograms with another encoder, and with colour photographs."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from senoscope import models
from senoscope.errors import WeightsError
from senoscope.models.blocks.mobilenet import expanded_mobilenet


def test_plain_mobilenet_weights_give_the_plain_networks_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = timm.create_model("mobilenetv2_100", num_classes=0).eval()
    save_file(plain.state_dict(), tmp_path / "plain.safetensors")
    expanded = expanded_mobilenet(encoder_weights=tmp_path / "plain.safetensors", num_classes=0).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(expanded(images), plain(images), rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"conv_stem.weight": torch.zeros(4)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="mobilenetv2_100"):
        expanded_mobilenet(encoder_weights=tmp_path / "other.safetensors", num_classes=0)


def test_seventeen_kinds_of_flower_in_colour() -> None:
    system = models.create_model(
        "efficientnet-b0", classes=17, encoder="test_efficientnet", channels=3
    ).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        outputs = system(images)
        gray = system(images.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    assert outputs.class_logits.shape == (2, 17)
    assert not torch.allclose(outputs.class_logits, gray.class_logits), "colour counts"


def test_a_vision_transformer_in_its_place_has_no_class_map() -> None:
    system = models.create_model("efficientnet-b0", image_size=64, encoder="vit_tiny_patch16_224").eval()
    with torch.inference_mode():
        outputs = system(torch.rand(1, 1, 64, 64))
    assert outputs.class_logits.shape == (1, 3)
    assert outputs.class_map is None

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from senoscope.models.grad_cam import grad_cam
from senoscope.models.interface import System
from senoscope.models.systems.resnet import ResNet
from senoscope.models.systems.unet import UNet


@pytest.fixture(scope="module")
def system() -> System:
    torch.manual_seed(0)
    return ResNet().eval()


@pytest.mark.parametrize("target", [0, 2])
def test_with_global_average_pooling_it_is_the_class_activation_map(system: ResNet, target: int) -> None:
    image = torch.rand(1, 1, 96, 64)
    heat = grad_cam(system, image, system.encoder, target)
    evidence = system(image).class_map.detach()[:, target] - system.classifier.bias.detach()[target]
    expected = functional.interpolate(evidence[:, None].relu(), size=(96, 64), mode="bilinear")[0, 0]
    assert heat.shape == (96, 64)
    assert float(heat.max()) == 1.0
    torch.testing.assert_close(heat, expected / expected.max(), atol=1e-4, rtol=1e-4)


def test_the_system_is_left_as_it_was(system: ResNet) -> None:
    system.train()
    before = {key: value.clone() for key, value in system.state_dict().items()}
    grad_cam(system, torch.rand(1, 1, 64, 64), system.encoder, 0)
    assert system.training
    system.eval()
    assert not system.encoder._forward_hooks
    assert all(weight.grad is None for weight in system.parameters())
    assert all(torch.equal(before[key], value) for key, value in system.state_dict().items())


def test_what_cannot_be_explained_is_refused(system: ResNet) -> None:
    with pytest.raises(ValueError, match="one image"):
        grad_cam(system, torch.rand(2, 1, 64, 64), system.encoder, 0)
    unet = UNet(widths=[8, 16])
    with pytest.raises(ValueError, match="no class"):
        grad_cam(unet, torch.rand(1, 1, 64, 64), unet.mask, 0)
    with pytest.raises(ValueError, match="does not pass"):
        grad_cam(system, torch.rand(1, 1, 64, 64), torch.nn.Identity(), 0)

"""A MobileNetV2 encoder for gray images, pretrained through timm or from a safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models._efficientnet_blocks import InvertedResidual
from timm.models.densenet import DenseBlock
from torch import Tensor, nn
from torch.nn import functional

from senoscope.errors import WeightsError
from senoscope.models.blocks.inputs import IMAGENET_MEAN, IMAGENET_STD

CHANNELS = (16, 24, 32, 96, 320)
"""Channels of the five stages, at strides 2, 4, 8, 16 and 32."""


class StridedDepthwise(nn.Conv2d):
    """A strided depthwise convolution that stays in float32 under autocast on a CPU.

    oneDNN has no fast bfloat16 kernel for its gradient: at 16×576×12×12 the float32 one is about 30 times quicker.
    """

    def forward(self, input: Tensor) -> Tensor:
        """N×C×H×W to N×C×H/2×W/2."""
        if input.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float())
        return super().forward(input)


class ChainedDenseBlock(DenseBlock):
    """timm's dense block, each layer's features joined to all before at once.

    timm joins the whole list anew for every layer, which gives the same and takes longer to learn from.
    """

    def forward(self, init_features: Tensor) -> Tensor:
        """N×C×H×W to N×(C + layers × growth)×H×W."""
        features = init_features
        layer: Any
        for layer in self.values():
            new = layer.conv2(layer.norm2(layer.conv1(layer.norm1(features))))
            if layer.drop_rate > 0:
                new = functional.dropout(new, layer.drop_rate, self.training)
            features = torch.cat([features, new], 1)
        return features


def quicken(model: nn.Module) -> nn.Module:
    """Give a model's layers their quicker forms, in place: :class:`StridedDepthwise`, :class:`ChainedDenseBlock`.

    They add behaviour only: no weight is copied or renamed.
    """
    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels > 1 and max(layer.stride) > 1:
            layer.__class__ = StridedDepthwise
        elif type(layer) is DenseBlock:
            layer.__class__ = ChainedDenseBlock
    return model


class MobileNetV2Encoder(nn.Module):
    """MobileNetV2 (Sandler et al. 2018) without its head, for one gray channel in 0..1.

    The stem's colour filters are summed, so that a gray image gives what its three equal channels would.
    The first block has the 1×1 expansion that some published weights carry.
    """

    def __init__(self) -> None:
        super().__init__()
        net: Any = timm.create_model("mobilenetv2_100", pretrained=False, in_chans=1, num_classes=0)
        net.blocks[0][0] = InvertedResidual(32, 16, exp_ratio=1.0, act_layer=nn.ReLU6)
        self.conv_stem: nn.Module = net.conv_stem
        self.bn1: nn.Module = net.bn1
        self.blocks: nn.Sequential = net.blocks
        quicken(self.blocks)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 and 32 of ``image`` (N×1×H×W in 0..1)."""
        x = self.bn1(self.conv_stem((image - IMAGENET_MEAN) / IMAGENET_STD))
        features = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in (0, 1, 2, 4, 6):
                features.append(x)
        return features


FIRST_BLOCK = "blocks.0.0."


def expanded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the plain network with an identity as the first block's expansion.

    What enters the block lies in 0..6 already, so its ReLU6 changes nothing.
    """
    names = {"conv_pw.": "conv_pwl.", "bn1.": "bn2.", "bn2.": "bn3."}
    out = {k: v for k, v in state.items() if not k.startswith(FIRST_BLOCK)}
    for key, value in state.items():
        if key.startswith(FIRST_BLOCK):
            part = key.removeprefix(FIRST_BLOCK)
            head = part.split(".")[0] + "."
            out[FIRST_BLOCK + part.replace(head, names.get(head, head))] = value
    norm = nn.BatchNorm2d(32)
    unit = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - norm.eps}
    out |= {f"{FIRST_BLOCK}bn1.{key}": torch.full((32,), value) for key, value in unit.items()}
    out[FIRST_BLOCK + "conv_pw.weight"] = torch.eye(32)[:, :, None, None]
    return out


def load_encoder(path: Path | None = None, *, pretrained: bool = False) -> MobileNetV2Encoder:
    """Build the encoder: from a safetensors file, from timm's hub (needs a network), or untrained.

    Raises
    ------
    WeightsError: the file is not safetensors, is damaged, or holds another network.
    """
    if path is not None:
        state = read_encoder(path)
    elif pretrained:
        state = timm.create_model("mobilenetv2_100", pretrained=True).state_dict()
    else:
        return MobileNetV2Encoder()
    if FIRST_BLOCK + "conv_pw.weight" in state and FIRST_BLOCK + "conv_pwl.weight" not in state:
        state = expanded(state)
    encoder = MobileNetV2Encoder()
    if "conv_stem.weight" in state:
        state["conv_stem.weight"] = state["conv_stem.weight"].sum(1, keepdim=True)
    fit_weights(encoder, state, "mobilenetv2_100", path or "the downloaded weights")
    return encoder


def fit_weights(model: nn.Module, state: dict[str, Tensor], name: str, source: Path | str) -> None:
    """Load the weights of timm's ``name`` into a model; they may lack counters and hold more than it needs (a head).

    Raises ``WeightsError`` naming what is missing or of another shape.
    """
    own = model.state_dict()
    fits = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    missing = [key for key in own if key not in fits and "num_batches" not in key]
    if missing:
        raise WeightsError(
            f"{source}: {len(missing)} of {len(own)} tensors of {name} are missing or of another shape, "
            f"first {missing[0]}",
            expected=f"the weights of timm's {name}",
            fix="pass the file of that encoder to --encoder-weights",
        )
    model.load_state_dict(fits, strict=False)


def read_encoder(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file in float32; raises ``WeightsError`` for anything else."""
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path} is a {path.suffix or 'nameless'} file",
            expected="a .safetensors file; pickled weights can run code and are never read",
            fix="convert it with safetensors.torch.save_file",
        )
    try:
        state = load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path} does not exist", fix="check the path given to --encoder-weights"
        ) from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}", fix="download the file again") from error
    bad = [k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if bad:
        raise WeightsError(f"{path} holds NaN or infinity in {bad[0]}", fix="download the file again")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}

"""PraNet: parallel reverse attention network (Fan et al. 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.partial_decoder import ConvNorm, PartialDecoder
from senoscope.models.blocks.unet import resize
from senoscope.models.interface import Outputs, System


class ReceptiveField(nn.Module):
    """Four branches of growing reach side by side (receptive field block; Liu et al. 2018, as PraNet widens it)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvNorm(inputs, outputs, 1)])
        for size in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    ConvNorm(inputs, outputs, 1),
                    ConvNorm(outputs, outputs, (1, size)),
                    ConvNorm(outputs, outputs, (size, 1)),
                    ConvNorm(outputs, outputs, 3, dilation=size),
                )
            )
        self.join = ConvNorm(4 * outputs, outputs)
        self.shortcut = ConvNorm(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×inputs×h×w to N×outputs×h×w."""
        joined = self.join(torch.cat([branch(x) for branch in self.branches], 1))
        return functional.relu(joined + self.shortcut(x))


class ReverseAttention(nn.Module):
    """Corrects a map where it says there is nothing: the features are weighted by its complement."""

    def __init__(self, inputs: int, width: int, depth: int, size: int, last: int) -> None:
        super().__init__()
        self.narrow = ConvNorm(inputs, width, 1)
        self.convs = nn.ModuleList(ConvNorm(width, width, size) for _ in range(depth))
        self.head = ConvNorm(width, 1, last)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Features N×C×h×w and the deeper map's logits N×1×h'×w' to corrected logits N×1×h×w."""
        guide = resize(coarse, features)
        x = self.narrow((1 - guide.sigmoid()) * features)
        for conv in self.convs:
            x = functional.relu(conv(x))
        out: Tensor = self.head(x) + guide
        return out


class PraNet(System):
    """Res2Net encoder, a coarse map of its three deep levels, three corrections of it (Fan et al. 2020, Fig. 2)."""

    def __init__(
        self,
        *,
        encoder: str = "res2net50d",
        width: int = 32,
        output_stride: int = 32,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        net: Any = backbone(
            encoder,
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            features_only=True,
            out_indices=(2, 3, 4),
            output_stride=output_stride,
        )
        self.encoder = net
        fine, middle, deep = net.feature_info.channels()
        self.fields = nn.ModuleList(ReceptiveField(inputs, width) for inputs in (fine, middle, deep))
        self.decoder = PartialDecoder(width)
        self.refine = nn.ModuleList(
            [
                ReverseAttention(deep, 8 * width, depth=3, size=5, last=1),
                ReverseAttention(middle, 2 * width, depth=2, size=3, last=3),
                ReverseAttention(fine, 2 * width, depth=2, size=3, last=3),
            ]
        )

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; in training the three coarser maps as auxiliary outputs."""
        features = self.encoder(to_rgb(image))
        maps = [self.decoder(*(field(x) for field, x in zip(self.fields, features, strict=True)))]
        for attention, level in zip(self.refine, reversed(features), strict=True):
            maps.append(attention(level, maps[-1]))
        *coarser, final = (Outputs(mask_logits=resize(logits, image).float()) for logits in maps)
        return final._replace(auxiliary=tuple(coarser)) if self.training else final

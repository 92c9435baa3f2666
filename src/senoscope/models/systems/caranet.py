"""CaraNet: context axial reverse attention network (Lou et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.blocks.partial_decoder import PartialDecoder
from senoscope.models.blocks.unet import resize
from senoscope.models.interface import Outputs, System


class NormAct(nn.Sequential):
    """Batch norm and a PReLU with a slope per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.PReLU(channels))


class ConvNormAct(nn.Sequential):
    """3×3 convolution (size kept), batch norm, PReLU."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, groups=groups, bias=False),
            NormAct(outputs),
        )


class FeaturePyramidChannel(nn.Module):
    """One channel of the CFP module: three convolutions in a row, all of whose outputs are kept."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        quarter = width // 4
        steps = ((width, quarter), (quarter, quarter), (quarter, 2 * quarter))
        self.convs = nn.ModuleList(ConvNormAct(a, b, dilation, groups=quarter) for a, b in steps)

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w to the same size."""
        kept = []
        for conv in self.convs:
            x = conv(x)
            kept.append(x)
        return torch.cat(kept, 1)


class ChannelwisePyramid(nn.Module):
    """CFP module: four such channels of rising dilation, summed step by step, joined (Lou et al. 2021)."""

    def __init__(self, width: int, dilation: int = 8) -> None:
        super().__init__()
        self.before = nn.Sequential(NormAct(width), ConvNormAct(width, width // 4))
        rates = (1, dilation // 4 + 1, dilation // 2 + 1, dilation + 1)
        self.channels = nn.ModuleList(FeaturePyramidChannel(width // 4, rate) for rate in rates)
        self.after = nn.Sequential(NormAct(width), nn.Conv2d(width, width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w to the same size."""
        narrow = self.before(x)
        sums = [self.channels[0](narrow)]
        for channel in self.channels[1:]:
            sums.append(sums[-1] + channel(narrow))
        out: Tensor = self.after(torch.cat(sums, 1)) + x
        return out


class AxisAttention(nn.Module):
    """Every row attends to every row (or column to column), through a sigmoid, beside a shortcut."""

    def __init__(self, width: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.query, self.key = (nn.Conv2d(width, width // 8, 1) for _ in range(2))
        self.value = nn.Conv2d(width, width, 1)
        self.share = nn.Parameter(torch.zeros(1))  # learnt from nothing, as the paper's code has it

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w to the same size."""
        query, key, value = (part(x).movedim(self.axis, 1) for part in (self.query, self.key, self.value))
        weight = torch.bmm(query.flatten(2), key.flatten(2).transpose(1, 2)).sigmoid()
        mixed = torch.unflatten(torch.bmm(weight, value.flatten(2)), 2, value.shape[2:])
        return self.share * mixed.movedim(1, self.axis) + x


class AxialReverseAttention(nn.Module):
    """Corrects a map by features that passed axial attention, weighted by the map's complement."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.context = ChannelwisePyramid(width)
        self.attend = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            AxisAttention(width, 2),
            AxisAttention(width, 3),
        )
        self.convs = nn.Sequential(
            ConvNormAct(width, width), ConvNormAct(width, width), ConvNormAct(width, 1)
        )

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Features N×width×h×w and the deeper map's logits N×1×h'×w' to corrected logits N×1×h×w."""
        guide = resize(coarse, features)
        out: Tensor = self.convs((1 - guide.sigmoid()) * self.attend(self.context(features))) + guide
        return out


class CaraNet(System):
    """Res2Net encoder, a coarse map of its deep levels, corrected by axial reverse attention (Lou et al. 2021)."""

    def __init__(
        self,
        *,
        encoder: str = "res2net101d",
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
        self.narrow = nn.ModuleList(ConvNormAct(c, width) for c in net.feature_info.channels())
        self.decoder = PartialDecoder(width)
        self.refine = nn.ModuleList(AxialReverseAttention(width) for _ in range(3))

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; in training the three coarser maps as auxiliary outputs."""
        features = self.encoder(to_rgb(image))
        levels = [narrow(x) for narrow, x in zip(self.narrow, features, strict=True)]
        maps = [self.decoder(*levels)]
        for attention, level in zip(self.refine, reversed(levels), strict=True):
            maps.append(attention(level, maps[-1]))
        *coarser, final = (Outputs(mask_logits=resize(logits, image).float()) for logits in maps)
        return final._replace(auxiliary=tuple(coarser)) if self.training else final

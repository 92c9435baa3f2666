"""The default model: a light network that outlines and classifies lesions in breast ultrasound."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.encoder import CHANNELS, load_encoder
from senoscope.models.interface import Outputs, System


def _conv(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class _Up(nn.Module):
    """A U-Net step: narrow (which keeps it quick), enlarge twofold, join the encoder's skip, convolve."""

    def __init__(self, inputs: int, skip: int, outputs: int, depth: int = 2) -> None:
        super().__init__()
        self.narrow = _conv(inputs, outputs, 1)
        self.convs = nn.Sequential(
            _conv(outputs + skip, outputs), *(_conv(outputs, outputs) for _ in range(depth - 1))
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = functional.interpolate(self.narrow(x), scale_factor=2.0, mode="nearest")
        out: Tensor = self.convs(torch.cat([x, skip], 1))
        return out


class SenoscopeUS(System):
    """MobileNetV2 encoder, U-Net decoder, and a class head that *is* its class activation map.

    Every location of the stride-16 grid gives evidence for each class (``class_map``) and has a share in the
    decision (``pool_weights``, a softmax over locations that sees the outline the network just drew). The image's
    class logits are the share-weighted sum of the evidence and nothing else, so the evidence can be divided among
    lesions and the parts add up to the whole (cf. class activation maps, Zhou et al. 2016; attention pooling,
    Ilse et al. 2018).

    The mask is predicted at half the input's size and enlarged bilinearly. Sides of the input must be multiples of 32.
    With ``mirror``, a network in evaluation mode looks at the image and at its mirror image and answers with the mean
    of both, in which the evidence still adds up to the class.
    """

    def __init__(
        self,
        classes: int = 3,
        *,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
        dropout: float = 0.2,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.mirror = mirror
        self.encoder = load_encoder(encoder_weights, pretrained=pretrained)
        c2, c4, c8, c16, c32 = CHANNELS
        self.neck = _conv(c32, 128, 1)
        self.up16 = _Up(128, c16, 96)
        self.up8 = _Up(96, c8, 64)
        self.up4 = _Up(64, c4, 48)
        self.up2 = _Up(48, c2, 24, depth=1)
        self.mask = nn.Conv2d(24, 1, 3, padding=1)
        self.evidence = nn.Sequential(
            _conv(96 + 128, 128, 1), nn.Dropout2d(dropout), nn.Conv2d(128, classes, 1)
        )
        self.attention = nn.Sequential(_conv(96 + 128, 32, 1), nn.Conv2d(32, 1, 1))
        self.focus = nn.Parameter(torch.tensor(0.5))  # how much the outline steers the pooling

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits, mask logits, evidence and shares; other inputs are ignored."""
        if self.training or not self.mirror:
            return self._look(image)
        return _mean(self._look(image), self._look(image.flip(3)))

    @torch.no_grad()
    def shift_classes(self, offset: Tensor) -> None:
        """Add ``offset`` (C) to the evidence everywhere, and so, as shares sum to 1, to the class logits."""
        bias = self.evidence[2].bias
        assert isinstance(bias, Tensor)  # noqa: S101 - for the type checker
        bias += offset.to(bias)

    def _look(self, image: Tensor) -> Outputs:
        f2, f4, f8, f16, f32 = self.encoder(image)
        neck = self.neck(f32)
        d16 = self.up16(neck, f16)
        d2 = self.up2(self.up4(self.up8(d16, f8), f4), f2)
        half = self.mask(d2)
        mask_logits = functional.interpolate(half, scale_factor=2.0, mode="bilinear", align_corners=False)
        context = torch.cat([d16, functional.interpolate(neck, scale_factor=2.0, mode="nearest")], 1)
        class_map = self.evidence(context).float()
        outline = functional.avg_pool2d(half.detach().float().clamp(-8, 8), 8)
        scores = self.attention(context).float() + self.focus * outline
        pool_weights = scores.flatten(2).softmax(2).view_as(scores)
        return _outputs(mask_logits.float(), class_map, pool_weights)


def _outputs(mask_logits: Tensor, class_map: Tensor, pool_weights: Tensor) -> Outputs:
    return Outputs((class_map * pool_weights).sum((2, 3)), mask_logits, class_map, pool_weights)


def _mean(seen: Outputs, mirrored: Outputs) -> Outputs:
    """The mean of what is seen in an image and in its mirror image, the latter turned back first."""
    parts = zip(seen[1:4], mirrored[1:4], strict=True)
    (mask, mask_m), (evidence, evidence_m), (share, share_m) = (
        (a, b.flip(3)) for a, b in parts if a is not None and b is not None
    )
    total = (share + share_m).clamp(min=1e-12)
    return _outputs((mask + mask_m) / 2, (evidence * share + evidence_m * share_m) / total, total / 2)

"""Multi-task nnU-Net with prediction refinement (Aumente-Maestro et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.interface import Outputs, System

NORMAL = 0
"""Index of the class without a lesion."""


class _Conv(nn.Sequential):
    """3×3 convolution, instance norm, leaky ReLU, as in nnU-Net (Isensee et al. 2021)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm2d(outputs),
            nn.LeakyReLU(inplace=True),
        )


def _level(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_Conv(inputs, outputs), _Conv(outputs, outputs))


class MultiTaskNNUNet(System):
    """nnU-Net's encoder and decoder, a class branch on their deepest features, deep supervision of the mask.

    In use the answers are made to agree (the paper's prediction refinement): where the class is normal the mask is
    emptied, where the mask is empty the class is normal. ``refine`` turns that off; two classes have no normal.
    """

    def __init__(
        self,
        classes: int = 3,
        *,
        widths: Sequence[int] = (32, 64, 128, 256, 320),
        dense: tuple[int, int] = (512, 256),
        refine: bool = True,
    ) -> None:
        super().__init__()
        self.refine = refine and classes > 2
        self.down = nn.ModuleList(_level(a, b) for a, b in zip((1, *widths), widths, strict=False))
        deepest = widths[-1]
        self.bridge = _level(deepest, deepest)
        outputs = (*widths[-2::-1], widths[0])
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(b, b, 2, stride=2) for b in (deepest, *outputs[:-1]))
        self.up = nn.ModuleList(
            _level(2 * skip, out) for skip, out in zip(widths[::-1], outputs, strict=True)
        )
        self.mask = nn.Conv2d(widths[0], 1, 1)
        self.deep_masks = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(width, width, 2**depth, stride=2**depth), nn.Conv2d(width, 1, 1))
            for depth, width in enumerate(outputs[-2:0:-1], start=1)
        )
        self.from_encoder, self.from_decoder = _Conv(deepest, deepest), _Conv(outputs[0], deepest)
        self.join = _Conv(3 * deepest, dense[0])
        self.dense = nn.Linear(dense[0], dense[1])
        self.classifier = nn.Linear(dense[1], classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and mask logits N×1×H×W."""
        x, skips = image, []
        for level in self.down:
            skips.append(level(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bridge(x)
        decoded, context = [], x
        for index, (enlarge, up, skip) in enumerate(zip(self.enlarge, self.up, skips[::-1], strict=True)):
            larger = enlarge(x)
            context = larger if index == 0 else context
            x = up(torch.cat([skip, larger], 1))
            decoded.append(x)
        seen = torch.cat([self.from_encoder(skips[-1]), context, self.from_decoder(decoded[0])], 1)
        logits = self.classifier(torch.relu(self.dense(self.join(seen).mean((2, 3))))).float()
        outline = self.mask(x).float()
        if not self.training:
            return Outputs(*(_agree(logits, outline) if self.refine else (logits, outline)))
        deep = zip(self.deep_masks, decoded[-2:0:-1], strict=True)
        return Outputs(logits, outline, auxiliary=tuple(Outputs(mask_logits=m(d).float()) for m, d in deep))


def _agree(logits: Tensor, outline: Tensor) -> tuple[Tensor, Tensor]:
    """An empty mask for a normal class, and the normal class for an empty mask."""
    normal = logits.argmax(1) == NORMAL
    empty = outline.amax((1, 2, 3)) <= 0
    top = logits.max(1, keepdim=True).values + 1
    first = torch.arange(logits.shape[1], device=logits.device) == NORMAL
    agreed = torch.where(empty[:, None] & ~normal[:, None] & first, top, logits)
    return agreed, torch.where(normal[:, None, None, None], outline.clamp(max=-10), outline)

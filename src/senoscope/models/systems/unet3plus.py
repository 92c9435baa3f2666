"""UNet 3+ (Huang et al. 2020), which Alam et al. compared on breast ultrasound."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.unet import ConvNormAct, DoubleConv
from senoscope.models.interface import Outputs, System


class FullScaleNode(nn.Module):
    """One decoder level: finer encoder levels pooled, its own, coarser decoder levels enlarged, all joined."""

    def __init__(self, level: int, inputs: Sequence[int], branch: int) -> None:
        super().__init__()
        self.level = level
        self.branches = nn.ModuleList(ConvNormAct(width, branch) for width in inputs)
        self.join = ConvNormAct(branch * len(inputs), branch * len(inputs))

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        """``scales``: features of each level, finest first, each at half the side of the one before."""
        joined = [
            branch(self._bring(x, source))
            for source, (branch, x) in enumerate(zip(self.branches, scales, strict=True))
        ]
        out: Tensor = self.join(torch.cat(joined, 1))
        return out

    def _bring(self, x: Tensor, source: int) -> Tensor:
        if source < self.level:
            return functional.max_pool2d(x, 2 ** (self.level - source))
        if source > self.level:
            return _enlarge(x, source - self.level)
        return x


def _enlarge(x: Tensor, doublings: int) -> Tensor:
    if not doublings:
        return x
    return functional.interpolate(x, scale_factor=2.0**doublings, mode="bilinear", align_corners=False)


class UNet3Plus(System):
    """U-Net with full-scale skips and a mask from every level of the decoder (Huang et al. 2020, Fig. 1c and 2).

    ``branch`` is the width that each of a node's inputs is brought to.
    """

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 1024), branch: int = 64) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        count, whole = len(widths), branch * len(widths)
        self.nodes = nn.ModuleList(
            FullScaleNode(level, [*widths[: level + 1], *[whole] * (count - 2 - level), widths[-1]], branch)
            for level in range(count - 1)
        )
        self.masks = nn.ModuleList(
            nn.Conv2d(w, 1, 3, padding=1) for w in (*[whole] * (count - 1), widths[-1])
        )

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; in training also those of the coarser levels, enlarged."""
        x, scales = image, []
        for index, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if index else x)
            scales.append(x)
        for level in range(len(self.nodes) - 1, -1, -1):  # from here on, coarser scales are the decoder's
            scales[level] = self.nodes[level](scales)
        logits = self.masks[0](scales[0]).float()
        if not self.training:
            return Outputs(mask_logits=logits)
        coarse = enumerate(zip(self.masks, scales, strict=True))
        return Outputs(
            mask_logits=logits,
            auxiliary=tuple(
                Outputs(mask_logits=_enlarge(head(x).float(), level)) for level, (head, x) in coarse if level
            ),
        )

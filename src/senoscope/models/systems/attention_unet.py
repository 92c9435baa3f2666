"""Attention U-Net (Oktay et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from senoscope.models.blocks.attention_gate import GridAttentionGate
from senoscope.models.blocks.unet import DoubleConv, Up
from senoscope.models.interface import Outputs, System


class AttentionUNet(System):
    """U-Net whose skips, all but the finest, pass attention gates (Oktay et al. 2018, Fig. 1)."""

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.gates = nn.ModuleList(GridAttentionGate(fine, deep, fine // 2) for deep, fine in pairs[:-1])
        self.up = nn.ModuleList(Up(deep, fine, fine) for deep, fine in pairs)
        self.masks = nn.ModuleList(nn.Conv2d(fine, 1, 1) for _, fine in pairs)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W; in training also a mask from each coarser level."""
        x, skips = image, []
        for index, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if index else x)
            skips.append(x)
        decoded = []
        for gate, block, skip in zip((*self.gates, None), self.up, skips[-2::-1], strict=True):
            x = block(x, skip if gate is None else gate(skip, x))
            decoded.append(x)
        logits = self.masks[-1](x).float()
        if not self.training:
            return Outputs(mask_logits=logits)
        coarse = zip(self.masks, decoded[:-1], strict=False)
        return Outputs(
            mask_logits=logits,
            auxiliary=tuple(Outputs(mask_logits=head(level).float()) for head, level in coarse),
        )

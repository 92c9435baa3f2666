"""U-Net (Ronneberger et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from senoscope.models.blocks.unet import DoubleConv, Up
from senoscope.models.interface import Outputs, System


class UNet(System):
    """Contracting and expanding path with skips (Ronneberger et al. 2015, Fig. 1); padded, with batch norm."""

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in zip((1, *widths), widths, strict=False))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(Up(deep, shallow, shallow) for deep, shallow in pairs)
        self.mask = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        x, skips = image, []
        for index, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if index else x)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = block(x, skip)
        return Outputs(mask_logits=self.mask(x).float())

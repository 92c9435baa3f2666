"""Swin-Unet: a U-Net made of shifted-window transformers alone (Cao et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn

from senoscope.models.blocks.backbones import backbone
from senoscope.models.blocks.inputs import to_rgb
from senoscope.models.interface import Outputs, System


class PatchExpand(nn.Module):
    """A linear layer gives each location ``scale``² ones of ``outputs`` channels; layer norm (Cao et al. 2021, 3.4)."""

    def __init__(self, inputs: int, outputs: int, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(inputs, scale * scale * outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """N×h×w×inputs to N×(scale·h)×(scale·w)×outputs."""
        x = torch.unflatten(self.expand(x), 3, (self.scale, self.scale, -1))
        x = x.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
        out: Tensor = self.norm(x)
        return out


class UpStage(nn.Module):
    """Enlarge twofold, join the skip by a linear layer, ``depth`` window attention blocks, every second one shifted."""

    def __init__(self, width: int, side: int, heads: int, window: int, depth: int) -> None:
        super().__init__()
        self.expand = PatchExpand(2 * width, width)
        self.join = nn.Linear(2 * width, width)
        self.blocks = nn.Sequential(
            *(
                SwinTransformerBlock(
                    width,
                    (side, side),
                    num_heads=heads,
                    window_size=window,
                    shift_size=window // 2 if index % 2 else 0,
                )
                for index in range(depth)
            )
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``x`` N×h×w×2C and ``skip`` N×2h×2w×C to N×2h×2w×C."""
        out: Tensor = self.blocks(self.join(torch.cat([self.expand(x), skip], 3)))
        return out


class SwinUNet(System):
    """Swin-T encoder with ``depth`` blocks a stage, mirrored decoder of patch expanding layers, skips (Fig. 1).

    Built for images of ``image_size``: windows and relative positions follow from it.
    """

    def __init__(
        self,
        *,
        image_size: int = 224,
        dim: int = 96,
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int = 7,
        depth: int = 2,
        drop_path: float = 0.2,
        encoder_weights: Path | None = None,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        net: Any = backbone(
            "swin_tiny_patch4_window7_224",
            encoder_weights=encoder_weights,
            pretrained=pretrained,
            num_classes=0,
            img_size=image_size,
            embed_dim=dim,
            num_heads=tuple(heads),
            window_size=window,
            drop_path_rate=drop_path,
        )
        for stage in net.layers:  # Swin-T's third has six; its first are kept, with their weights
            stage.blocks = stage.blocks[:depth]
        self.encoder = net
        levels = list(enumerate(heads[:-1]))
        self.up = nn.ModuleList(
            UpStage(dim << level, image_size // (4 << level), count, window, depth)
            for level, count in reversed(levels)
        )
        self.norm = nn.LayerNorm(dim)
        self.last = PatchExpand(dim, dim, scale=4)
        self.mask = nn.Conv2d(dim, 1, 1, bias=False)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to mask logits N×1×H×W."""
        encoder: Any = self.encoder
        x = encoder.patch_embed(to_rgb(image))
        skips = []
        for stage in encoder.layers:
            x = stage(x)
            skips.append(x)
        x = encoder.norm(skips.pop())
        for up in self.up:
            x = up(x, skips.pop())
        x = self.last(self.norm(x)).permute(0, 3, 1, 2)
        return Outputs(mask_logits=self.mask(x).float())

"""ACSNet: a classifier of gated convolutions and deformable attention."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from senoscope.models.blocks.deformable import DeformableAttention
from senoscope.models.blocks.pooled import pooled
from senoscope.models.interface import Outputs, System


class GatedConv(nn.Module):
    """A convolution whose output is multiplied by a gate of its own (Dauphin et al. 2017, Eq. 1), residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×width×h×w to the same."""
        content, gate = self.conv(self.norm(x)).chunk(2, 1)
        out: Tensor = x + self.out(content * gate.sigmoid())
        return out


class ACSNet(System):
    """Four stages of gated convolutions, the last two with deformable attention, and global average pooling."""

    def __init__(
        self,
        classes: int = 3,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        attended: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [_halve(1, widths[0])]
        for index, (before, width, depth) in enumerate(
            zip((widths[0], *widths), widths, depths, strict=False)
        ):
            layers += [_halve(before, width), *(GatedConv(width) for _ in range(depth))]
            if index >= len(widths) - attended:
                layers.append(DeformableAttention(width, heads))
        self.encoder = nn.Sequential(*layers, nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits and their activation map."""
        return pooled(self.encoder(image), self.classifier)


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs))

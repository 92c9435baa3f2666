"""A network of three convolutions for mammograms (Kumar et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from senoscope.models.interface import Outputs, System


class CNN3(System):
    """Three convolutions with ReLU and max pooling, one hidden layer, one linear layer; built for one size."""

    def __init__(
        self,
        classes: int = 3,
        *,
        image_size: int = 224,
        widths: Sequence[int] = (32, 64, 128),
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        for inputs, outputs in zip((1, *widths), widths, strict=False):
            self.stages.extend((nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)))
        side = image_size // 2 ** len(widths)
        self.hidden = nn.Sequential(nn.Linear(widths[-1] * side * side, hidden), nn.ReLU(), nn.Dropout(0.5))
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits."""
        return Outputs(class_logits=self.classifier(self.hidden(self.stages(image).flatten(1))).float())

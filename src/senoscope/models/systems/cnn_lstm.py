"""CNN and LSTM: features of a convolutional network, read row by row by a recurrent one (Kaddes et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from senoscope.models.blocks.unet import ConvNormAct
from senoscope.models.interface import Outputs, System


class CNNLSTM(System):
    """Convolutions with max pooling, then an LSTM (Hochreiter & Schmidhuber 1997) over the rows of what they found.

    The state after the last row goes to the linear layer. Built for one size: a row's length is the LSTM's input.
    """

    def __init__(
        self,
        classes: int = 3,
        *,
        image_size: int = 224,
        widths: Sequence[int] = (32, 64, 128, 128),
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        for inputs, outputs in zip((1, *widths), widths, strict=False):
            self.stages.extend((ConvNormAct(inputs, outputs), nn.MaxPool2d(2)))
        self.lstm = nn.LSTM(widths[-1] * (image_size // 2 ** len(widths)), hidden, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, image: Tensor, mask: Tensor | None = None, clinical: Tensor | None = None) -> Outputs:
        """Image N×1×H×W in 0..1 to class logits."""
        rows = self.stages(image).transpose(1, 2).flatten(2)  # N×h×(C·w), top to bottom
        states, _ = self.lstm(rows)
        return Outputs(class_logits=self.classifier(self.dropout(states[:, -1])).float())

"""The one preprocessing: a spec that travels with every bundle, and the one implementation of it.

Training, every runtime and the server call :meth:`Preprocess.apply`; nothing else prepares pixels for a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from senoscope.errors import ImageError
from senoscope.schema import BoolArray, Box, FloatArray

Percent = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an image of ``height``×``width`` lies in the network's square of side ``size``, in whole pixels."""

    height: int
    width: int
    size: int
    top: int
    left: int
    rows: int
    columns: int

    def to_original(self, values: FloatArray) -> FloatArray:
        """A map over the network's square (size×size), cropped and enlarged to height×width (bilinear)."""
        inner = values[self.top : self.top + self.rows, self.left : self.left + self.columns]
        return _resize(np.ascontiguousarray(inner, dtype=np.float32), self.height, self.width)

    def box_to_original(self, box: Box) -> Box | None:
        """A box in 0..1 of the network's square in the image's pixels, cut at its edge; ``None`` if nothing is left."""
        left, top = box.x * self.size - self.left, box.y * self.size - self.top
        right, bottom = left + box.width * self.size, top + box.height * self.size
        across, down = self.width / self.columns, self.height / self.rows
        x, x_end = (min(max(value * across, 0.0), float(self.width)) for value in (left, right))
        y, y_end = (min(max(value * down, 0.0), float(self.height)) for value in (top, bottom))
        return Box(x, y, x_end - x, y_end - y) if x_end - x >= 1 and y_end - y >= 1 else None

    def to_model(self, values: FloatArray) -> FloatArray:
        """A map over the image (height×width) in the network's square, zero outside the image."""
        square = np.zeros((self.size, self.size), np.float32)
        inner = _resize(np.ascontiguousarray(values, dtype=np.float32), self.rows, self.columns)
        square[self.top : self.top + self.rows, self.left : self.left + self.columns] = inner
        return square


class Preprocess(BaseModel):
    """Gray image of any size to the network's square.

    1. The image is reduced or enlarged, aspect kept, to fit ``size``×``size``, and centred (letterbox).
    2. Intensities are stretched so that the ``low`` and ``high`` percentiles of the *lit* pixels (above
       ``black``) become 0 and 1; what lies outside is clipped. This removes a scanner's black floor.
    3. A gamma within ``gamma_range`` brings the lit pixels' median to ``median``: the gain of another scanner.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(
        default=256,
        ge=32,
        le=2048,
        multiple_of=32,
        description="side of the square that the network sees, in pixels",
    )
    black: float = Field(
        default=0.02, ge=0, lt=1, description="grey, of white, up to which a pixel counts as unlit border"
    )
    low: Percent = Field(default=1.0, description="percentile of the lit pixels that becomes black")
    high: Percent = Field(default=99.5, description="percentile of the lit pixels that becomes white")
    median: float = Field(
        default=0.33, gt=0, lt=1, description="grey that the lit pixels' median is brought to"
    )
    gamma_range: tuple[float, float] = Field(
        default=(0.5, 2.0), description="smallest and largest gamma for that"
    )

    def frame(self, height: int, width: int) -> Frame:
        """Where an image of this size will lie."""
        scale = self.size / max(height, width)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        return Frame(
            height, width, self.size, (self.size - rows) // 2, (self.size - columns) // 2, rows, columns
        )

    def apply(self, gray: FloatArray) -> tuple[FloatArray, Frame]:
        """Prepare one image: float H×W in 0..1 to float32 size×size in 0..1, and its frame.

        Raises ``ImageError`` for an array that is not a finite H×W image.
        """
        if gray.ndim != 2 or 0 in gray.shape or not np.isfinite(gray).all():
            raise ImageError(
                f"an array of shape {gray.shape}", expected="a finite H×W image with values in 0..1"
            )
        frame = self.frame(*gray.shape)
        inner = self._normalise(_resize(gray.astype(np.float32, copy=False), frame.rows, frame.columns))
        square = np.zeros((self.size, self.size), np.float32)
        square[frame.top : frame.top + frame.rows, frame.left : frame.left + frame.columns] = inner
        return square, frame

    def apply_mask(self, mask: BoolArray) -> BoolArray:
        """A mask H×W in the network's square: a pixel is lesion if at least half of it is."""
        return self.frame(*mask.shape).to_model(mask.astype(np.float32)) >= 0.5

    def _normalise(self, image: FloatArray) -> FloatArray:
        lit = image[image > self.black]
        if lit.size < 16:
            return np.clip(image, 0, 1)
        low, middle, high = np.percentile(lit, (self.low, 50.0, self.high))
        if high - low < 1e-3:
            return np.clip(image, 0, 1)
        stretched = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)
        centre = float(np.clip((middle - low) / (high - low), 0.01, 0.99))
        gamma = float(np.clip(np.log(self.median) / np.log(centre), *self.gamma_range))
        return np.asarray(np.power(stretched, np.float32(gamma), dtype=np.float32))


def _resize(values: FloatArray, height: int, width: int) -> FloatArray:
    if values.shape == (height, width):
        return values
    picture = Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32)

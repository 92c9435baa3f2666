"""Pictures inside an HTML page: compressed, embedded, and outlines as SVG paths that stay crisp at any zoom."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from senoscope.explain.class_map import colours
from senoscope.schema import FloatArray

LARGEST = 1024
"""Longer sides are scaled down to this for the page; the files beside it keep the original size."""
_HEAT = 176
_THUMBNAIL = 88
_CONTOUR_POINTS = 180


def embed_gray(gray: FloatArray, largest: int = LARGEST, quality: int = 88) -> str:
    """A grey image (H×W, 0..1) as a JPEG data URI."""
    picture = Image.fromarray(np.rint(np.clip(gray, 0.0, 1.0) * 255).astype(np.uint8))
    picture.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return _uri(picture, "jpeg", quality=quality)


def embed_thumbnail(gray: FloatArray) -> str:
    """A small square from the middle of an image, for tables."""
    side = min(gray.shape)
    top, left = (gray.shape[0] - side) // 2, (gray.shape[1] - side) // 2
    step = max(1, side // (4 * _THUMBNAIL))
    return embed_gray(gray[top : top + side : step, left : left + side : step], _THUMBNAIL, 72)


def embed_heat(heat: FloatArray) -> str:
    """A heatmap (H×W, 0..1 with 0.5 neutral) as a transparent WebP data URI; it is smooth, so it is small."""
    step = max(1, max(heat.shape) // (2 * _HEAT))
    small = Image.fromarray(np.ascontiguousarray(heat[::step, ::step]))
    small.thumbnail((_HEAT, _HEAT), Image.Resampling.BILINEAR)
    return _uri(Image.fromarray(colours(np.asarray(small))), "webp", quality=70, method=2)


def heat_picture(gray: FloatArray, heat: FloatArray) -> Image.Image:
    """The image with its heatmap over it, RGB at the image's size."""
    base = Image.fromarray(np.rint(np.clip(gray, 0.0, 1.0) * 255).astype(np.uint8)).convert("RGB")
    layer = Image.fromarray(colours(heat))
    base.paste(layer, mask=layer.getchannel("A"))
    return base


def svg_path(contour: FloatArray) -> str:
    """A closed contour N×2 as the ``d`` of an SVG path whose view box is the image in pixels.

    Contours have pixel centres at whole numbers, SVG has pixel corners there: hence the half pixel.
    """
    points = thinned(contour) + 0.5
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist()) + "Z"


def thinned(contour: FloatArray) -> FloatArray:
    """A contour with fewer points, as many as an eye can follow; what is measured and written keeps them all."""
    return contour[:: max(1, len(contour) // _CONTOUR_POINTS)]


def _uri(picture: Image.Image, kind: str, **how: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"

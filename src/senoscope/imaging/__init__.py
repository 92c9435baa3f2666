"""Pixels: reading them safely, preparing them, turning masks into shapes and back, and drawing.

Reading: ``read_image``, ``read_frames``, ``read_mask``, ``read_sample``. Preparing: ``Preprocess``. Shapes:
``mask_to_contours``, ``contour_to_mask``, ``mask_to_box``, ``box_to_mask``, ``components``. Drawing:
``overlay``, ``heatmap_image``, ``montage``. See docs/reference/imaging.md.
"""

from senoscope.imaging.draw import (
    colour_bar,
    gray_image,
    heatmap_image,
    jpeg_data_uri,
    mask_image,
    montage,
    overlay,
    png_bytes,
    score_text,
    side_by_side,
)
from senoscope.imaging.masks import (
    box_to_mask,
    boxes_to_mask,
    components,
    contour_area,
    contour_to_box,
    contour_to_mask,
    fill_holes,
    mask_to_box,
    mask_to_contours,
)
from senoscope.imaging.preprocess import Frame, Preprocess
from senoscope.imaging.read import (
    Limits,
    RawImage,
    analysable,
    colour_fraction,
    decode_image,
    read_frames,
    read_image,
    read_mask,
    read_sample,
    to_gray,
)

__all__ = [
    "Frame",
    "Limits",
    "Preprocess",
    "RawImage",
    "analysable",
    "box_to_mask",
    "boxes_to_mask",
    "colour_bar",
    "colour_fraction",
    "components",
    "contour_area",
    "contour_to_box",
    "contour_to_mask",
    "decode_image",
    "fill_holes",
    "gray_image",
    "heatmap_image",
    "jpeg_data_uri",
    "mask_image",
    "mask_to_box",
    "mask_to_contours",
    "montage",
    "overlay",
    "png_bytes",
    "read_frames",
    "read_image",
    "read_mask",
    "read_sample",
    "score_text",
    "side_by_side",
    "to_gray",
]
